package span

import (
	"math"
	"slices"
)

// Durations are counted in buckets as DDSketch has them (docs/adr/0005): each is within 1 % of every duration in it. The numbers are those
// of the macros duration_bucket and bucket_duration of the index.
const (
	bucketGamma = 101.0 / 99.0
	// bucketMiddle is 2 / (gamma + 1).
	bucketMiddle = 0.99
)

// DurationBucket is the bucket of a duration in nanoseconds.
func DurationBucket(ns int64) int16 {
	if ns == 0 {
		return 0
	}
	bucket := 1 + math.Ceil(math.Log(math.Abs(float64(ns)))/math.Log(bucketGamma))
	return int16(math.Copysign(bucket, float64(ns)))
}

// BucketDuration is the duration that stands for a bucket, in nanoseconds.
func BucketDuration(bucket int16) int64 {
	if bucket == 0 {
		return 0
	}
	ns := math.Round(bucketMiddle * math.Pow(bucketGamma, math.Abs(float64(bucket))-1))
	if ns >= math.MaxInt64 {
		ns = math.MaxInt64 - 1024 // the largest double below
	}
	return int64(math.Copysign(ns, float64(bucket)))
}

// Quantile is the duration, in nanoseconds, that a share q of what was counted does not exceed; ok is false if nothing was.
func Quantile(durations map[int16]int64, q float64) (ns int64, ok bool) {
	buckets := make([]int16, 0, len(durations))
	total := int64(0)
	for bucket, n := range durations {
		buckets, total = append(buckets, bucket), total+n
	}
	if total <= 0 {
		return 0, false
	}
	slices.Sort(buckets)
	seen := int64(0)
	for _, bucket := range buckets {
		if seen += durations[bucket]; float64(seen) >= q*float64(total) {
			return BucketDuration(bucket), true
		}
	}
	return BucketDuration(buckets[len(buckets)-1]), true
}
