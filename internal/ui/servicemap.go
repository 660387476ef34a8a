package ui

import (
	"cmp"
	"slices"
)

// A map of services is laid out in layers, so that calls go from left to right: calls that would close a circle are turned (acyclic),
// each service gets a layer behind all that call it (layers), services of a layer are ordered so that few lines cross (order), and moved
// up and down towards those that they are connected with (place). The same services and calls give the same map.

const (
	nodeWidth, nodeHeight = 180, 54
	columnGap, rowGap     = 88, 18
	// bendHeight is what a line takes that passes a layer.
	bendHeight = 14
	mapMargin  = 14
)

// mapCall says how often one service, by its number, calls another.
type mapCall struct {
	from, to int
	calls    int64
}

// mapPoint is a place on the map, in pixels.
type mapPoint struct{ X, Y float64 }

// mapLayout says where services are, by their number, and how the lines of calls run.
type mapLayout struct {
	// nodes are the upper left corners.
	nodes []mapPoint
	// lines are by call: the point where a line leaves a service, pairs of points where it passes a layer, and where it reaches a service.
	// It runs from left to right; turned[i]: the call goes the other way.
	lines         [][]mapPoint
	turned        []bool
	width, height float64
}

// cell is a service in its layer, or a place where a line passes a layer.
type cell struct {
	layer      int
	node       int // -1: a line passes
	left       []int
	right      []int
	y          float64
	halfHeight float64
}

// layOut lays out n services. No call is from a service to itself.
func layOut(n int, calls []mapCall) mapLayout {
	turned := acyclic(n, calls)
	layer := layers(n, calls, turned)
	cells, chains := makeCells(n, calls, turned, layer)
	rows := order(cells)
	place(cells, rows)
	return draw(n, cells, chains, turned, rows)
}

// acyclic says which calls are to be turned so that no circle is left: services are put into a row, and calls against it are turned. It
// begins with those that call much and are called little (Eades, Lin, Smyth 1993).
func acyclic(n int, calls []mapCall) []bool {
	row := sift(firstRow(n, calls), n, calls)
	position := make([]int, n)
	for k, i := range row {
		position[i] = k
	}
	turned := make([]bool, len(calls))
	for i, c := range calls {
		turned[i] = position[c.from] > position[c.to]
	}
	return turned
}

// firstRow is a row that is good, but not the best.
func firstRow(n int, calls []mapCall) []int {
	taken := make([]bool, n)
	row := make([]int, n)
	first, last := 0, n-1
	for range n {
		out, in := make([]int64, n), make([]int64, n)
		for _, c := range calls {
			if !taken[c.from] && !taken[c.to] {
				out[c.from] += max(c.calls, 1)
				in[c.to] += max(c.calls, 1)
			}
		}
		best, sink := -1, -1
		for i := range n {
			switch {
			case taken[i]:
			case out[i] == 0 && in[i] > 0:
				sink = i
			case best < 0 || in[i] == 0 && in[best] > 0 || (in[i] == 0) == (in[best] == 0) && out[i]-in[i] > out[best]-in[best]:
				best = i
			}
		}
		if sink >= 0 && (best < 0 || in[best] > 0) {
			row[last], taken[sink] = sink, true
			last--
			continue
		}
		row[first], taken[best] = best, true
		first++
	}
	return row
}

const siftRounds = 6

// sift moves each service of a row to where the fewest calls go against the row, again and again until none moves.
func sift(row []int, n int, calls []mapCall) []int {
	// against[i][j] is what it costs to have i before j: the calls from j to i.
	against := make([][]int64, n)
	for i := range against {
		against[i] = make([]int64, n)
	}
	for _, c := range calls {
		against[c.to][c.from] += max(c.calls, 1)
	}
	for range siftRounds {
		moved := false
		for _, i := range slices.Clone(row) {
			at := slices.Index(row, i)
			rest := slices.Delete(slices.Clone(row), at, at+1)
			best, least, cost := at, int64(0), int64(0)
			for k := at - 1; k >= 0; k-- { // before rest[k] rather than behind it
				if cost += against[i][rest[k]] - against[rest[k]][i]; cost < least {
					best, least = k, cost
				}
			}
			cost = 0
			for k := at; k < len(rest); k++ {
				if cost += against[rest[k]][i] - against[i][rest[k]]; cost < least {
					best, least = k+1, cost
				}
			}
			row, moved = slices.Insert(rest, best, i), moved || best != at
		}
		if !moved {
			break
		}
	}
	return row
}

// ends are the services of a call from left to right.
func (c mapCall) ends(turned bool) (from, to int) {
	if turned {
		return c.to, c.from
	}
	return c.from, c.to
}

// layers puts each service behind all that call it, and those that nobody calls right before the first that they call. Services
// without any call are in layer -1.
func layers(n int, calls []mapCall, turned []bool) []int {
	layer := make([]int, n)
	connected := make([]bool, n)
	for range n { // the longest way has n-1 calls
		moved := false
		for i, c := range calls {
			from, to := c.ends(turned[i])
			connected[from], connected[to] = true, true
			if layer[to] <= layer[from] {
				layer[to], moved = layer[from]+1, true
			}
		}
		if !moved {
			break
		}
	}
	called, nearest := make([]bool, n), make([]int, n)
	for i, c := range calls {
		from, to := c.ends(turned[i])
		called[to] = true
		if nearest[from] == 0 || layer[to] < nearest[from] {
			nearest[from] = layer[to]
		}
	}
	for i := range n {
		switch {
		case !connected[i]:
			layer[i] = -1
		case !called[i]:
			layer[i] = nearest[i] - 1
		}
	}
	return layer
}

// makeCells makes the cells of the map. chains are the cells of each call from left to right.
func makeCells(n int, calls []mapCall, turned []bool, layer []int) (cells []cell, chains [][]int) {
	for i := range n {
		cells = append(cells, cell{layer: layer[i], node: i, halfHeight: (nodeHeight + rowGap) / 2})
	}
	for i, c := range calls {
		from, to := c.ends(turned[i])
		chain := []int{from}
		for at := layer[from] + 1; at < layer[to]; at++ {
			cells = append(cells, cell{layer: at, node: -1, halfHeight: bendHeight / 2})
			chain = append(chain, len(cells)-1)
		}
		chain = append(chain, to)
		for k := 1; k < len(chain); k++ {
			a, b := chain[k-1], chain[k]
			cells[a].right, cells[b].left = append(cells[a].right, b), append(cells[b].left, a)
		}
		chains = append(chains, chain)
	}
	return cells, chains
}

const orderRounds = 12

// order orders the cells of each layer by the middle of those that they are connected with, to and fro, and keeps the best order seen.
func order(cells []cell) [][]int {
	var rows [][]int
	for i := range cells {
		for len(rows) <= cells[i].layer {
			rows = append(rows, nil)
		}
		if cells[i].layer >= 0 {
			rows[cells[i].layer] = append(rows[cells[i].layer], i)
		}
	}
	at := make([]int, len(cells))
	number := func(row []int) {
		for k, i := range row {
			at[i] = k
		}
	}
	for _, row := range rows {
		number(row)
	}
	best, fewest := copyRows(rows), crossings(cells, rows, at)
	for round := range orderRounds {
		for k := range rows {
			row := rows[k]
			neighbours := func(i int) []int { return cells[i].left }
			if round%2 == 1 {
				row = rows[len(rows)-1-k]
				neighbours = func(i int) []int { return cells[i].right }
			}
			middle := make(map[int]float64, len(row))
			for _, i := range row {
				middle[i] = mean(neighbours(i), float64(at[i]), func(j int) float64 { return float64(at[j]) })
			}
			slices.SortStableFunc(row, func(a, b int) int { return cmp.Compare(middle[a], middle[b]) })
			number(row)
		}
		if n := crossings(cells, rows, at); n < fewest {
			best, fewest = copyRows(rows), n
		}
	}
	return best
}

func copyRows(rows [][]int) (all [][]int) {
	for _, row := range rows {
		all = append(all, slices.Clone(row))
	}
	return all
}

func mean(of []int, otherwise float64, value func(int) float64) float64 {
	if len(of) == 0 {
		return otherwise
	}
	sum := 0.0
	for _, i := range of {
		sum += value(i)
	}
	return sum / float64(len(of))
}

// crossings counts pairs of lines between two layers that cross.
func crossings(cells []cell, rows [][]int, at []int) (n int) {
	type line struct{ from, to int }
	for _, row := range rows {
		var lines []line
		for _, i := range row {
			for _, j := range cells[i].right {
				lines = append(lines, line{at[i], at[j]})
			}
		}
		for a := range lines {
			for b := range lines[:a] {
				if (lines[a].from-lines[b].from)*(lines[a].to-lines[b].to) < 0 {
					n++
				}
			}
		}
	}
	return n
}

const placeRounds = 8

// place sets the middle of each cell: as near to those that it is connected with as the order and the heights allow.
func place(cells []cell, rows [][]int) {
	for _, row := range rows {
		settle(cells, row, func(int) float64 { return 0 })
	}
	y := func(j int) float64 { return cells[j].y }
	for round := range placeRounds {
		for k := range rows {
			row, of := rows[k], func(i int) []int { return cells[i].left }
			switch {
			case round == placeRounds-1:
				of = func(i int) []int { return slices.Concat(cells[i].left, cells[i].right) }
			case round%2 == 1:
				row, of = rows[len(rows)-1-k], func(i int) []int { return cells[i].right }
			}
			settle(cells, row, func(i int) float64 { return mean(of(i), cells[i].y, y) })
		}
	}
}

// settle puts the cells of a row below one another, each as near as possible to where it wants to be: the sum of the squares of what
// they miss is the least that there is (pool adjacent violators).
func settle(cells []cell, row []int, wanted func(i int) float64) {
	type block struct {
		sum   float64
		count int
	}
	var blocks []block
	offsets := make([]float64, len(row))
	for k, i := range row {
		if k > 0 {
			offsets[k] = offsets[k-1] + cells[row[k-1]].halfHeight + cells[i].halfHeight
		}
		blocks = append(blocks, block{wanted(i) - offsets[k], 1})
		for m := len(blocks) - 1; m > 0 && blocks[m].sum/float64(blocks[m].count) < blocks[m-1].sum/float64(blocks[m-1].count); m-- {
			blocks[m-1].sum, blocks[m-1].count = blocks[m-1].sum+blocks[m].sum, blocks[m-1].count+blocks[m].count
			blocks = blocks[:m]
		}
	}
	k := 0
	for _, b := range blocks {
		for range b.count {
			cells[row[k]].y = b.sum/float64(b.count) + offsets[k]
			k++
		}
	}
}

// draw turns cells into pixels. Services without calls are below the others.
func draw(n int, cells []cell, chains [][]int, turned []bool, rows [][]int) mapLayout {
	m := mapLayout{nodes: make([]mapPoint, n), turned: turned, width: nodeWidth + 2*mapMargin, height: mapMargin}
	top, bottom := 0.0, 0.0
	for k, row := range rows {
		for _, i := range row {
			if first := k == 0 && i == rows[0][0]; first || cells[i].y-nodeHeight/2 < top {
				top = cells[i].y - nodeHeight/2
			}
		}
	}
	x := func(layer int) float64 { return mapMargin + float64(layer)*(nodeWidth+columnGap) }
	for i := range cells {
		c := &cells[i]
		if c.layer < 0 {
			continue
		}
		c.y += mapMargin - top
		bottom = max(bottom, c.y+nodeHeight/2)
		m.width = max(m.width, x(c.layer)+nodeWidth+mapMargin)
		if c.node >= 0 {
			m.nodes[c.node] = mapPoint{x(c.layer), c.y - nodeHeight/2}
		}
	}
	m.lines = lines(cells, chains, x)
	if bottom > 0 {
		m.height = bottom + rowGap
	}
	m.addAlone(cells[:n])
	return m
}

// addAlone puts services without calls into rows below the others.
func (m *mapLayout) addAlone(cells []cell) {
	const gap = 20
	columns := max(int((m.width-2*mapMargin+gap)/(nodeWidth+gap)), 4)
	alone := 0
	for i, c := range cells {
		if c.layer >= 0 {
			continue
		}
		at := mapPoint{mapMargin + float64(alone%columns)*(nodeWidth+gap), m.height + float64(alone/columns)*(nodeHeight+rowGap)}
		m.nodes[i] = at
		m.width = max(m.width, at.X+nodeWidth+mapMargin)
		alone++
	}
	m.height += float64((alone+columns-1)/columns)*(nodeHeight+rowGap) - rowGap + mapMargin
}

// lines are how calls run. Those that leave or reach a service on the same side do it one below the other, in the order of where they
// come from.
func lines(cells []cell, chains [][]int, x func(layer int) float64) [][]mapPoint {
	const spread, most = nodeHeight - 16, 11
	ports := make([][2]float64, len(chains))
	for end := range 2 {
		at := make(map[int][]int) // the lines of a service
		near := func(k int) (node, next int) {
			chain := chains[k]
			if end == 0 {
				return chain[0], chain[1]
			}
			return chain[len(chain)-1], chain[len(chain)-2]
		}
		for k := range chains {
			node, _ := near(k)
			at[node] = append(at[node], k)
		}
		for _, of := range at {
			slices.SortStableFunc(of, func(a, b int) int {
				_, nextA := near(a)
				_, nextB := near(b)
				return cmp.Or(cmp.Compare(cells[nextA].y, cells[nextB].y), cmp.Compare(a, b))
			})
			gap := min(spread/float64(max(len(of)-1, 1)), most)
			for n, k := range of {
				ports[k][end] = (float64(n) - float64(len(of)-1)/2) * gap
			}
		}
	}
	all := make([][]mapPoint, len(chains))
	for k, chain := range chains {
		for n, i := range chain {
			c := &cells[i]
			switch n {
			case 0:
				all[k] = append(all[k], mapPoint{x(c.layer) + nodeWidth, c.y + ports[k][0]})
			case len(chain) - 1:
				all[k] = append(all[k], mapPoint{x(c.layer), c.y + ports[k][1]})
			default:
				all[k] = append(all[k], mapPoint{x(c.layer), c.y}, mapPoint{x(c.layer) + nodeWidth, c.y})
			}
		}
	}
	return all
}
