package torture_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hufu-auth/hufu/internal/torture"
)

var (
	operationLine = regexp.MustCompile(`^([\d.]+) +([\d.]+) +(\d) ([a-z ]+?)(?: (code|[ra]\d+\w*))?: (\w+)((?: \w+)*)$`)
	faultLine     = regexp.MustCompile(`^([\d.]+) +([\d.]+) +~ (\w+) at \[([\d ]+)\] until ([\d.]+)$`)
)

// parse reads a history as a verdict shows it. A fault called kill stops processes.
func parse(t *testing.T, text string) *torture.History {
	t.Helper()
	h := torture.NewHistory()
	number := h.Grant(torture.Grant{Client: "app", Grace: 5 * time.Second, CodeLifetime: time.Minute})
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if f := faultLine.FindStringSubmatch(line); f != nil {
			h.AddFault(fault(t, f))
			continue
		}
		o := operationLine.FindStringSubmatch(line)
		if o == nil {
			t.Fatalf("not a line of a history: %q", line)
		}
		h.Add(operation(t, number, o))
	}
	return h
}

func fault(t *testing.T, f []string) torture.Fault {
	t.Helper()
	fault := torture.Fault{Name: f[3], Stopped: f[3] == "kill", Began: at(t, f[1]), Ended: at(t, f[2]), Healed: at(t, f[5])}
	for _, word := range strings.Fields(f[4]) {
		replica, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		fault.Replicas = append(fault.Replicas, replica)
	}
	return fault
}

func operation(t *testing.T, grant int, o []string) torture.Operation {
	t.Helper()
	replica, err := strconv.Atoi(o[3])
	if err != nil {
		t.Fatal(err)
	}
	operation := torture.Operation{Grant: grant, Replica: replica, Began: at(t, o[1]), Ended: at(t, o[2]), Kind: torture.Kind(o[4]), Token: o[5], Answer: torture.Answer(o[6])}
	if operation.Answer == torture.Away {
		operation.RetryAfter = "1"
	}
	for _, got := range strings.Fields(o[7]) {
		switch got[0] {
		case 'c':
			operation.Code = got
		case 'r':
			operation.Refresh = got
		case 'a':
			operation.Access = got
		default:
			operation.RetryAfter = "" // the word "now"
		}
	}
	return operation
}

func at(t *testing.T, seconds string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(seconds + "s")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// begun is how most grants begin.
const begun = `
	0.0 0.1 0 authorize: done code
	0.2 0.3 0 redeem code: done r0 a0
`

// What can be true is not condemned, however odd.
func TestJudgeAcquits(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "",
		"a plain life": begun + `
			0.4 0.5 1 introspect access a0: active
			0.6 0.7 2 refresh r0: done r1 a1
			0.8 0.9 0 introspect refresh r1: active
			1.0 1.1 0 refresh r1: done r2 a2
			1.2 1.3 0 revoke grant r2: done
			1.4 1.5 1 introspect access a0: inactive
			1.6 1.7 1 refresh r2: refused`,
		"one of three redeems, the others end it": `
			0.0 0.1 0 authorize: done code
			0.2 0.9 0 redeem code: refused
			0.2 0.8 1 redeem code: done r0 a0
			0.2 0.7 2 redeem code: refused
			1.0 1.1 0 introspect access a0: inactive`,
		"one of three redeems, its answer is lost, and the others end it before it asks again": `
			0.0 0.1 0 authorize: done code
			0.15 0.5 ~ lost at [0] until 0.5
			0.2 0.9 0 redeem code: refused
			0.2 0.8 1 redeem code: refused
			0.2 0.7 2 redeem code: refused`,
		"dead before it was born": `
			0.0 0.1 0 authorize: done code
			0.2 0.9 0 redeem code: done r0 a0
			0.3 0.5 1 redeem code: refused
			1.0 1.1 0 refresh r0: refused`,
		"the same successor within the grace": begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			1.0 1.2 1 refresh r0: done r1 a2
			5.5 5.6 1 refresh r0: done r1 a3
			5.7 5.8 1 refresh r1: done r2 a4`,
		"a thief after the grace": begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			6.2 6.3 0 refresh r0: refused
			6.4 6.5 0 refresh r1: refused`,
		"at the end of the grace, either": begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			5.9 6.0 0 refresh r0: refused`,
		"a thief with an old token": begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			1.2 1.3 0 refresh r1: done r2 a2
			1.4 1.5 0 refresh r0: refused
			1.6 1.7 1 introspect access a2: inactive`,
		"a refresh that was not answered happened": begun + `
			1.0 4.0 ~ kill at [0] until 3.0
			1.0 1.1 0 refresh r0: lost
			8.0 8.1 0 refresh r0: refused`,
		"a refresh that was not answered did not happen": begun + `
			1.0 4.0 ~ kill at [0] until 3.0
			1.0 1.1 0 refresh r0: lost
			8.0 8.1 0 refresh r0: done r1 a1`,
		"a refresh comes into force long after its 503": begun + `
			1.0 9.0 ~ hang at [0] until 9.0
			1.0 3.6 0 refresh r0: away
			4.0 4.1 1 introspect refresh r0: active
			9.1 9.2 1 introspect refresh r0: active
			15.0 15.1 1 introspect refresh r0: inactive`,
		"a revocation that was not answered": begun + `
			1.0 4.0 ~ kill at [0] until 3.0
			1.0 1.1 0 revoke grant r0: lost
			4.0 4.1 0 introspect access a0: active
			5.0 5.1 0 introspect access a0: inactive`,
		"one access token ends alone": begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			1.2 1.3 0 revoke access a0: done
			1.4 1.5 1 introspect access a0: inactive
			1.6 1.7 1 introspect access a1: active
			1.8 1.9 1 refresh r1: done r2 a2`,
		"redeemed after a 503": `
			0.0 0.1 0 authorize: done code
			0.2 9.0 ~ hang at [0] until 8.0
			0.2 2.8 0 redeem code: away
			3.0 3.1 1 redeem code: done r0 a0
			9.5 9.6 0 refresh r0: done r1 a1`,
		"a 503 that is not undone yet": `
			0.0 0.1 0 authorize: done code
			0.2 9.0 ~ hang at [0] until 8.0
			0.2 2.8 0 redeem code: away
			3.0 3.1 1 redeem code: refused`,
		"a 503 whose server ended before it could undo it": `
			0.0 0.1 0 authorize: done code
			0.2 2.9 ~ hang at [0] until 2.8
			0.2 2.8 0 redeem code: away
			3.0 6.0 ~ kill at [0] until 4.0
			20.0 20.1 1 redeem code: refused`,
		"a redemption whose answer went with the server": `
			0.0 0.1 0 authorize: done code
			0.2 5.0 ~ kill at [0] until 4.0
			0.2 0.3 0 redeem code: lost
			20.0 20.1 1 redeem code: refused`,
		"a code that was too old": `
			0.0 0.1 0 authorize: done code
			59.5 59.6 0 redeem code: refused`,
		"a client token": `
			0.0 0.1 0 client token: done a0
			0.2 0.3 1 introspect access a0: active
			0.4 0.5 1 revoke access a0: done
			0.6 0.7 2 introspect access a0: inactive`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verdict := range torture.Judge(parse(t, text)) {
				t.Error(verdict)
			}
		})
	}
}

// Each of these is a way in which a server would be wrong.
func TestJudgeCondemns(t *testing.T) {
	t.Parallel()
	const unexplained = "no order of these requests"
	for name, tt := range map[string]struct{ text, want string }{
		"two redemptions":                {begun + `0.2 0.4 1 redeem code: done r0x a1`, "redeemed twice"},
		"two redemptions with one token": {begun + `0.2 0.4 1 redeem code: done r0 a1`, unexplained},
		"two redemptions, one after 503": {`
			0.0 0.1 0 authorize: done code
			0.2 3.0 ~ hang at [0] until 3.0
			0.2 2.8 0 redeem code: away
			3.0 3.1 1 redeem code: done r0 a0
			3.2 3.3 2 redeem code: done r0x a1`, "redeemed twice"},
		"three bring a code and nobody gets it": {`
			0.0 0.1 0 authorize: done code
			0.2 0.9 0 redeem code: refused
			0.2 0.8 1 redeem code: refused
			0.2 0.7 2 redeem code: refused`, unexplained},
		"an answer is lost, and nobody else brought the code": {`
			0.0 0.1 0 authorize: done code
			0.15 0.5 ~ lost at [0] until 0.5
			0.2 0.9 0 redeem code: refused`, unexplained},
		"two successors": {begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			1.0 1.1 1 refresh r0: done r1x a2`, "two refresh tokens of generation 1"},
		"a token of two generations": {begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			1.2 1.3 0 refresh r1: done r0 a2`, "one refresh token is that of generation"},
		"an access token twice": {begun + `1.0 1.1 0 refresh r0: done r1 a0`, "given out twice"},
		"the first branch lives on": {begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			1.2 1.3 0 refresh r1: done r2 a2
			1.4 1.5 0 refresh r0: done r1 a3`, unexplained},
		"the same successor after the grace": {begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			6.2 6.3 0 refresh r0: done r1 a2`, unexplained},
		"a replay without consequence": {begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			6.2 6.3 0 refresh r0: refused
			6.4 6.5 0 refresh r1: done r2 a2`, unexplained},
		"a second redemption without consequence": {begun + `
			1.0 1.1 1 redeem code: refused
			1.2 1.3 0 introspect access a0: active`, unexplained},
		"a good token refused":      {begun + `1.0 1.1 0 refresh r0: refused`, unexplained},
		"a good access token dead":  {begun + `1.0 1.1 0 introspect access a0: inactive`, unexplained},
		"a good refresh token dead": {begun + `1.0 1.1 0 introspect refresh r0: inactive`, unexplained},
		"an old refresh token alive": {begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			8.0 8.1 0 introspect refresh r0: active`, unexplained},
		"an acknowledged refresh was forgotten": {begun + `
			1.0 1.1 0 refresh r0: done r1 a1
			1.2 1.3 0 refresh r1: refused`, unexplained},
		"an acknowledged redemption was forgotten": {begun + `
			1.0 1.1 1 redeem code: done r0y a1`, "redeemed twice"},
		"an acknowledged code was forgotten": {`
			0.0 0.1 0 authorize: done code
			0.2 0.3 0 redeem code: refused`, unexplained},
		"revoked, and refreshed": {begun + `
			1.0 1.1 0 revoke grant r0: done
			1.2 1.3 1 refresh r0: done r1 a1`, unexplained},
		"revoked, and active elsewhere": {begun + `
			1.0 1.1 0 revoke grant r0: done
			1.2 1.3 1 introspect access a0: active`, unexplained},
		"revoked, and redeemed before": {begun + `
			1.0 1.1 0 revoke access a0: done
			1.2 1.3 1 introspect access a0: active`, unexplained},
		"dead, and alive again": {begun + `
			1.0 4.0 ~ kill at [0] until 3.0
			1.0 1.1 0 revoke grant r0: lost
			4.0 4.1 0 introspect access a0: inactive
			5.0 5.1 0 introspect access a0: active`, unexplained},
		"a client token that was revoked": {`
			0.0 0.1 0 client token: done a0
			0.4 0.5 1 revoke access a0: done
			0.6 0.7 2 introspect access a0: active`, unexplained},
		"taken for a thief after a 503": {`
			0.0 0.1 0 authorize: done code
			0.2 4.0 ~ hang at [0] until 3.0
			0.2 2.8 0 redeem code: away
			7.0 7.1 1 redeem code: refused`, unexplained},
		"a code that was too old": {`
			0.0 0.1 0 authorize: done code
			60.5 60.6 0 redeem code: done r0 a0`, unexplained},
		"503 without a reason": {begun + `1.0 1.1 0 refresh r0: away`, "nothing was broken"},
		"503 long after the fault": {begun + `
			1.0 2.0 ~ hang at [0] until 1.5
			7.0 7.1 0 refresh r0: away`, "nothing was broken"},
		"503 of a neighbour": {begun + `
			1.0 2.0 ~ hang at [1] until 1.5
			1.1 1.2 0 refresh r0: away`, "nothing was broken"},
		"503 too late": {begun + `
			1.0 9.0 ~ hang at [0] until 9.0
			1.1 5.5 0 refresh r0: away`, "too late"},
		"503 without an hour": {begun + `
			1.0 9.0 ~ hang at [0] until 9.0
			1.1 1.2 0 refresh r0: away now`, "without Retry-After"},
		"an answer that got lost": {begun + `
			1.0 9.0 ~ hang at [0] until 9.0
			1.1 1.2 0 refresh r0: lost`, "nobody had stopped the server"},
		"an error":           {begun + `1.0 1.1 0 refresh r0: odd`, "never right"},
		"back, but not soon": {begun + `1.0 9.0 ~ hang at [0] until 3.0`, "was not back before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdicts := torture.Judge(parse(t, tt.text))
			if len(verdicts) == 0 || !strings.Contains(strings.Join(verdicts, "\n"), tt.want) {
				t.Errorf("verdicts %q, want one with %q", verdicts, tt.want)
			}
		})
	}
}

// What one grant was given is nothing for another, and a server that runs says so.
func TestJudgeCondemnsAcross(t *testing.T) {
	t.Parallel()
	h := parse(t, begun)
	other := h.Grant(torture.Grant{})
	h.Add(torture.Operation{Grant: other, Kind: torture.ClientToken, Began: time.Second, Ended: 2 * time.Second, Answer: torture.Done, Access: "a0"})
	h.AddProbe(torture.Probe{Began: time.Second, Ended: 2 * time.Second, Status: 500})
	verdicts := strings.Join(torture.Judge(h), "\n")
	for _, want := range []string{"were given the same", "not alive: 500"} {
		if !strings.Contains(verdicts, want) {
			t.Errorf("verdicts %q, want one with %q", verdicts, want)
		}
	}
}

// A judge that is slow is not asked. So much at once, with so much unknown, is more
// than a run does to one grant.
func TestJudgeManyUnknown(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(begun + "0.5 30.0 ~ hang at [0 1 2] until 29.0\n")
	for i := range 12 {
		fmt.Fprintf(&text, "%d.0 %d.5 0 refresh r0: away\n%d.0 %d.6 1 revoke access a0: away\n", i+1, i+3, i+1, i+3)
	}
	for i := range 12 {
		fmt.Fprintf(&text, "%d.0 %d.5 %d introspect access a0: active\n", i+30, i+30, i%3)
	}
	began := time.Now()
	if verdicts := torture.Judge(parse(t, text.String())); len(verdicts) > 0 {
		t.Errorf("%q", verdicts)
	}
	text.WriteString("50.0 50.1 0 refresh r0: done r9 a9\n51.0 51.1 0 introspect access a9: inactive\n")
	if verdicts := torture.Judge(parse(t, text.String())); len(verdicts) != 1 {
		t.Errorf("%q, want one verdict", verdicts)
	}
	t.Logf("judged in %v", time.Since(began))
}
