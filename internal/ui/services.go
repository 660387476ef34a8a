package ui

import "net/http"

func (u *UI) showServices(w http.ResponseWriter, r *http.Request) error {
	u.show(w, r, view{Page: "services", Title: "Services"})
	return nil
}
