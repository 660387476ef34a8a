package span

import "time"

// RefusedError says that spans were not taken in now, and that the same request may be taken later: there is no room, or
// something is being restarted. Whoever takes spans in returns it, and the client is told to send them again.
type RefusedError struct {
	// Reason is one lowercase word or a few joined by '_' that metrics count by, such as "disk" or "wal_size".
	Reason string
	// RetryAfter is when it is worth trying again; 0 leaves that to who answers the client.
	RetryAfter time.Duration
	// Err is what an operator has to know. Clients are not told, since it names paths and settings.
	Err error
}

func (e *RefusedError) Error() string {
	if e.Err == nil {
		return "spans are refused for now: " + e.Reason
	}
	return "spans are refused for now: " + e.Err.Error()
}

func (e *RefusedError) Unwrap() error { return e.Err }
