package ui

import "net/http"

func (u *UI) showTrace(w http.ResponseWriter, r *http.Request) error {
	u.show(w, r, view{Page: "trace", Title: "Trace"})
	return nil
}
