package ui

import "net/http"

func (u *UI) showTraces(w http.ResponseWriter, r *http.Request) error {
	u.show(w, r, view{Page: "traces", Title: "Traces"})
	return nil
}
