package torture

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Judge returns what is wrong with a history; nothing, when every answer in it can be
// true and came in time. No more operations may be added meanwhile.
func Judge(h *History) (verdicts []string) {
	h.sort()
	for i := range h.Operations {
		if wrong := h.judgeAnswer(&h.Operations[i]); wrong != "" {
			o := &h.Operations[i]
			verdicts = append(verdicts, fmt.Sprintf("%s:\n%s\n%s", wrong, tell(*o, nil), strings.Join(h.tellFaults(o.Began-10*time.Second, o.Ended), "\n")))
		}
	}
	for _, p := range h.Probes {
		if p.Status != 200 && (p.Status != 0 || !h.stopped(p.Replica, p.Began, p.Ended)) {
			verdicts = append(verdicts, fmt.Sprintf("replica %d said at %.3f that it is not alive: %d", p.Replica, p.Began.Seconds(), p.Status))
		}
	}
	for i := range h.Faults {
		verdicts = append(verdicts, h.judgeFault(&h.Faults[i])...)
	}
	verdicts = append(verdicts, h.judgeGifts()...)
	for grant := range h.Grants {
		if wrong := h.judgeGrant(grant); wrong != "" {
			verdicts = append(verdicts, wrong+"\n"+h.tellAll(grant))
		}
	}
	return verdicts
}

// judgeAnswer holds one answer against what is promised of all.
func (h *History) judgeAnswer(o *Operation) string {
	switch o.Answer {
	case Odd:
		return "an answer that is never right"
	case Lost, Unheard:
		if !h.stopped(o.Replica, o.Began, o.Ended) {
			return "no answer came, and nobody had stopped the server"
		}
	case Away:
		switch {
		case o.RetryAfter == "":
			return "503 without Retry-After"
		case o.Ended-o.Began > promptly+h.lag(o.Replica, o.Began, o.Ended):
			return "503 came too late"
		case !h.disturbed(o.Replica, o.Began, o.Ended):
			return "503, and nothing was broken"
		}
	}
	return ""
}

// judgeFault wants service back soon after a fault, and after those that came together
// with it.
func (h *History) judgeFault(f *Fault) (verdicts []string) {
	healed, lag := f.Healed, time.Duration(0)
	for _, replica := range f.Replicas {
		lag = max(lag, h.lag(replica, f.Healed, f.Ended))
		for _, other := range h.Faults {
			if other.touches(replica) && other.Began <= f.Ended && other.Healed <= f.Ended {
				healed = max(healed, other.Healed)
			}
		}
	}
	if f.Ended-healed > back+lag {
		verdicts = append(verdicts, fmt.Sprintf("%s of %v was over at %.3f, and service was not back before %.3f", f.Name, f.Replicas, healed.Seconds(), f.Ended.Seconds()))
	}
	return verdicts
}

// stopped reports whether the process of a replica was being stopped or started at a
// time.
func (h *History) stopped(replica int, from, to time.Duration) bool {
	return slices.ContainsFunc(h.Faults, func(f Fault) bool {
		return f.Stopped && f.touches(replica) && f.Began <= to && f.Ended >= from
	})
}

// disturbed reports whether a replica had reason to say that it cannot serve.
func (h *History) disturbed(replica int, from, to time.Duration) bool {
	return slices.ContainsFunc(h.Faults, func(f Fault) bool {
		return f.touches(replica) && f.Began <= to && max(f.Ended, f.Healed+back) >= from
	})
}

// judgeGifts finds what was given out for two grants.
func (h *History) judgeGifts() (verdicts []string) {
	of := map[string]int{}
	for _, o := range h.Operations {
		for _, gift := range []string{o.Code, o.Refresh, o.Access} {
			if gift == "" {
				continue
			}
			if before, known := of[gift]; known && before != o.Grant {
				verdicts = append(verdicts, fmt.Sprintf("grants %d and %d were given the same", before, o.Grant))
			}
			of[gift] = o.Grant
		}
	}
	return verdicts
}

// judgeGrant looks for a past of one grant in which all its answers are right.
func (h *History) judgeGrant(grant int) string {
	m, wrong := newModel(h, grant)
	if len(wrong) > 0 {
		return wrong[0]
	}
	return m.explain()
}
