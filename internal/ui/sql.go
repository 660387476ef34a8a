package ui

import "net/http"

func (u *UI) showSQL(w http.ResponseWriter, r *http.Request) error {
	u.show(w, r, view{Page: "sql", Title: "SQL"})
	return nil
}
