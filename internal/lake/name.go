package lake

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

const (
	// maxServiceBytes keeps the whole name, with what the temporary file adds to it, under the 143 bytes that the
	// strictest usual file system (eCryptfs) allows.
	maxServiceBytes = 100
	unknownService  = "unknown_service"
)

// Path is where a file of the lake goes, relative to the root and with '/'. The partition is the UTC day of at, the time of
// writing, so that no client's clock makes folders. The service is a hint for people and never parsed. The suffix, and nothing
// else, keeps apart what is written for one service within a second. The same arguments give the same path.
func Path(service string, at time.Time, suffix uint32) string {
	at = at.UTC()
	return fmt.Sprintf("year=%04d/month=%02d/day=%02d/%s_%d_%08x.parquet",
		at.Year(), at.Month(), at.Day(), safeService(service), at.Unix(), suffix)
}

// safeService makes a service name fit for a file name: letters and digits of any script, '-', '.' and '_' stay, anything
// else becomes '_'. It never begins with '.' or '_', which the scanner passes over.
func safeService(service string) string {
	var name strings.Builder
	for _, r := range service {
		// A byte that is not UTF-8 arrives as U+FFFD, which is no letter.
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '.' && r != '_' {
			r = '_'
		}
		if name.Len() == 0 && (r == '.' || r == '_') {
			continue
		}
		if name.Len()+len(string(r)) > maxServiceBytes {
			break
		}
		name.WriteRune(r)
	}
	if name.Len() == 0 {
		return unknownService
	}
	return name.String()
}
