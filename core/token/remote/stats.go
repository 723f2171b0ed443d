package remote

import "time"

// IssuerStats are counted since the source was made.
type IssuerStats struct {
	Issuer   string
	Calls    uint64    // requests to introspection and userinfo endpoints
	Failures uint64    // of them those that brought no answer
	Limited  uint64    // questions that were not asked because there were too many
	Paused   time.Time // it is not asked before
	Trouble  error     // why
}

// Stats returns the counts of all issuers in the order of the configuration.
func (s *Source) Stats() []IssuerStats {
	all := make([]IssuerStats, 0, len(s.list))
	for _, p := range s.list {
		p.mu.Lock()
		st := p.stats
		st.Issuer = p.URL
		now := p.o.Now()
		for _, l := range []*lane{&p.stranger, &p.known} {
			if l.resumeAt.After(now) {
				st.Paused, st.Trouble = l.resumeAt, l.trouble
			}
		}
		p.mu.Unlock()
		all = append(all, st)
	}
	return all
}

// Memory returns how many answers are kept and about how many bytes they take.
func (s *Source) Memory() (answers, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.yes.order.Len(), s.yes.used
}
