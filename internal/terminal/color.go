package terminal

// Color is a colour of text, as ECMA-48 numbers it (SGR).
type Color string

// The colours that are used. Those of a terminal's own palette can be read on any background that its user has chosen.
const (
	Red     Color = "31"
	Green   Color = "32"
	Yellow  Color = "33"
	Blue    Color = "34"
	Magenta Color = "35"
	Cyan    Color = "36"
	Bold    Color = "1"
	Faint   Color = "2"
)

// Paint colours text, if colours is true.
func Paint(text string, c Color, colours bool) string {
	if !colours || c == "" || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Colors gives each name a colour of its own as long as there are enough, in the order in which the names come.
type Colors struct{ of map[string]Color }

// Of is the colour of a name.
func (c *Colors) Of(name string) Color {
	if c.of == nil {
		c.of = make(map[string]Color)
	}
	color, ok := c.of[name]
	if !ok {
		palette := [...]Color{Cyan, Green, Yellow, Blue, Magenta} // red is for errors
		color = palette[len(c.of)%len(palette)]
		c.of[name] = color
	}
	return color
}
