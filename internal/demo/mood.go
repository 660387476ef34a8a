package demo

import (
	"math"
	"time"
)

// mood is how well things go at a time: 1 and the usual shares of errors, or worse.
type mood struct {
	// slowModel and slowVectors stretch what calls of models, and of the vector database, take.
	slowModel, slowVectors float64
	// modelErrors and toolErrors are how often calls fail.
	modelErrors, toolErrors float64
}

// incident is a time in which something goes wrong.
type incident struct {
	begins, lasts time.Duration
	change        func(*mood)
}

func overloaded(m *mood)   { m.modelErrors, m.slowModel = 0.45, 2.2 }
func slowDatabase(m *mood) { m.slowVectors = 40 }
func toolsFailing(m *mood) { m.toolErrors = 0.5 }
func slowProvider(m *mood) { m.slowModel = 3.5 }
func (m *mood) usual() mood {
	return mood{slowModel: 1, slowVectors: 1, modelErrors: 0.015, toolErrors: 0.02}
}

const (
	// Once the demo runs, something goes wrong for liveIncident in each liveCycle, for the first time after firstIncident.
	firstIncident = 75 * time.Second
	liveIncident  = 75 * time.Second
	liveCycle     = 7 * time.Minute
)

// moodAt is the mood at a time before or after the demo began.
func moodAt(since time.Duration) mood {
	m := (&mood{}).usual()
	for _, i := range []incident{
		{-21*time.Hour - 10*time.Minute, 25 * time.Minute, slowDatabase},
		{-13 * time.Hour, 18 * time.Minute, overloaded},
		{-6*time.Hour - 40*time.Minute, 22 * time.Minute, slowProvider},
		{-3 * time.Hour, 15 * time.Minute, toolsFailing},
		{-95 * time.Minute, 9 * time.Minute, slowDatabase},
		{-34 * time.Minute, 6 * time.Minute, overloaded},
	} {
		if since >= i.begins && since < i.begins+i.lasts {
			i.change(&m)
		}
	}
	if after := since - firstIncident; after >= 0 && after%liveCycle < liveIncident {
		kinds := []func(*mood){overloaded, slowDatabase, toolsFailing, slowProvider}
		kinds[int(after/liveCycle)%len(kinds)](&m)
	}
	return m
}

const (
	// pace is how many traces a second begin while the demo runs, when there is neither much nor little to do.
	pace = 1.8
	// day is how far back the history goes, and soon how long before now it begins to come near the pace of the live traffic.
	day  = 24 * time.Hour
	soon = 4 * time.Minute
	// early is the share of the pace in the history before: a whole day at full pace would be more than a million spans.
	early = 0.06
	// awake is the least of the pace live, so that there is something to see at night as well.
	awake = 0.8
)

// rate is how many traces a second begin at a time: less at night than in the afternoon, and in the history less than live.
func rate(at, now time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60
	shape := 1 + 0.65*math.Cos((hour-14.5)/24*2*math.Pi) + 0.15*math.Cos((hour-10.5)/12*2*math.Pi)
	if !at.Before(now) {
		shape = max(shape, awake)
	}
	// Waves of a few minutes, so that no two look alike.
	minutes := float64(at.Unix()) / 60
	shape *= 1 + 0.18*math.Sin(minutes/3.7) + 0.1*math.Sin(minutes/1.3)
	if before := now.Sub(at); before > 0 {
		shape *= early + (1-early)*math.Exp(-before.Minutes()/soon.Minutes())
	}
	return pace * shape
}
