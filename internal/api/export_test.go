package api

import (
	"net/http"
	"time"
)

// Limits makes a server wait for others as long as a test wants; 0 leaves what it was.
func (s *Server) Limits(queryWait, stall, scrape, grace time.Duration) {
	for _, one := range []struct {
		limit *time.Duration
		value time.Duration
	}{{&s.limits.queryWait, queryWait}, {&s.limits.stall, stall}, {&s.limits.scrape, scrape}, {&s.limits.grace, grace}} {
		if one.value > 0 {
			*one.limit = one.value
		}
	}
}

// Heartbeat makes a tail say so often that it is still there.
func (s *Server) Heartbeat(every time.Duration) { s.limits.heartbeat = every }

// SetCatalog makes a server work with another Catalog.
func (s *Server) SetCatalog(c Catalog) { s.catalog = c }

// Knows tells whether a server may be reached under the name in a Host header.
func Knows(hosts []string, reachable bool, hostport string) bool {
	s := &Server{hosts: make(map[string]bool)}
	for _, host := range hosts {
		s.hosts[hostname(host)] = true
	}
	s.reachable.Store(reachable)
	return s.knows(hostname(hostport))
}

// IsCall tells whether a content type is one of gRPC, and PercentEncoded is a message as gRPC sends it.
func IsCall(contentType string) bool {
	return isGRPC(&http.Request{Header: http.Header{"Content-Type": {contentType}}})
}

// PercentEncoded see IsCall.
func PercentEncoded(message string) string { return percentEncoded(message) }
