package ui

import "net/http"

func (u *UI) showIndex(w http.ResponseWriter, r *http.Request) error {
	u.show(w, r, view{Page: "index", Title: "Index"})
	return nil
}
