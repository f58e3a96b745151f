package login

import (
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// RFC 6238 Appendix B, of whose eight digits we take the last six.
func TestTOTPVectors(t *testing.T) {
	t.Parallel()
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if got := totpCode(secret, totpStep(time.Unix(at, 0))); got != want[2:] {
			t.Errorf("at %d: %s, want %s", at, got, want[2:])
		}
	}
}

// oathtool makes the same codes as we do, from the key as people type it, at any moment.
func TestTOTPAgainstOathtool(t *testing.T) {
	t.Parallel()
	for i := range 25 {
		secret, at := newTOTPSecret(), time.Unix(1_800_000_000+int64(i)*1_234_567, 0).UTC()
		out, err := exec.CommandContext(t.Context(), "oathtool", "--totp", "--base32", "--window=2", "--now", at.Add(-totpPeriod).Format("2006-01-02 15:04:05 UTC"), base32Text(secret)).CombinedOutput()
		if err != nil {
			t.Fatalf("oathtool, which make setup installs: %v\n%s", err, out)
		}
		for k, code := range strings.Fields(string(out)) {
			if step, ok := matchTOTP(secret, code, at); !ok || step != totpStep(at)-1+int64(k) {
				t.Errorf("%s at %v, %d periods on: step %d, %t, want %d", code, at, k-1, step, ok, totpStep(at)-1+int64(k))
			}
		}
	}
}

// One step on either side is taken, and none beyond.
func TestTOTPWindow(t *testing.T) {
	t.Parallel()
	secret, now := []byte("12345678901234567890"), time.Unix(1_800_000_015, 0)
	for offset, want := range map[int64]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		if _, ok := matchTOTP(secret, totpCode(secret, totpStep(now)+offset), now); ok != want {
			t.Errorf("step %+d: %t", offset, ok)
		}
	}
	for _, code := range []string{"", "000000", "1", totpCode(secret, totpStep(now)) + "0", " " + totpCode(secret, totpStep(now))} {
		if _, ok := matchTOTP(secret, code, now); ok {
			t.Errorf("%q is a code", code)
		}
	}
}

// The address in the picture says all that an app needs, whatever the names hold.
func TestTOTPURI(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ site, username, label string }{
		"plain":   {"Hufu", "alice", "/Hufu:alice"},
		"odd":     {"A & B: 虎符", "o'neil+x@a.example", "/A & B  虎符:o'neil+x@a.example"},
		"hostile": {"a?secret=b", "c&issuer=d#e", "/a?secret=b:c&issuer=d#e"},
	} {
		secret := newTOTPSecret()
		uri := totpURI(tt.site, tt.username, secret)
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != tt.label || q.Get("secret") != base32Text(secret) || q.Get("issuer") != strings.ReplaceAll(tt.site, ":", " ") || len(q) != 2 || strings.Contains(uri, "+") {
			t.Errorf("%s: %s", name, uri)
		}
	}
}

// Recovery codes are all different, are spelt so that nothing in them is taken for
// something else, and are read in any spelling.
func TestRecoveryCodeSpelling(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 50 {
		codes := newRecoveryCodes()
		if len(codes) != 10 {
			t.Fatalf("%d codes, want ten at most", len(codes))
		}
		for _, code := range codes {
			spelt := spellRecoveryCode(code)
			if seen[code] || len(code) != 10 || strings.ContainsAny(code, "ILOU") {
				t.Errorf("code %q", code)
			}
			seen[code] = true
			for _, spelling := range []string{spelt, strings.ToLower(spelt), code, " " + code[:3] + " " + code[3:] + " ", strings.NewReplacer("0", "o", "1", "l").Replace(spelt)} {
				if got := readRecoveryCode(spelling); got != code {
					t.Errorf("%q is read as %q, want %q", spelling, got, code)
				}
			}
		}
	}
	for _, text := range []string{"", "123456", "12345-6789", "12345-678901", "12345-6789U", "12345_67890", "一二三四五六七八九十", strings.Repeat("A", 5000)} {
		if got := readRecoveryCode(text); got != "" {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

// What Reaches and ToldACR say of every pair: an acr holds those before it.
func TestACR(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		acr   string
		asked []string
		want  string
	}{
		"nothing asked":       {ACRMFA, nil, ACRMFA},
		"what it is":          {ACRMFA, []string{ACRMFA}, ACRMFA},
		"less":                {ACRPasskey, []string{ACRMFA}, ACRMFA},
		"the strongest":       {ACRMFA, []string{ACRPassword, ACRMFA, ACRPasskey}, ACRMFA},
		"more than it is":     {ACRPassword, []string{ACRMFA}, ACRPassword},
		"nobody's":            {ACRPassword, []string{"urn:x"}, ACRPassword},
		"of another's making": {"urn:x", []string{ACRPassword}, "urn:x"},
	} {
		if got := ToldACR(tt.acr, tt.asked); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if Reaches("urn:x", "urn:x") || Reaches("", "") || !Reaches(ACRPasskey, ACRPassword) || Reaches(ACRPassword, ACRMFA) {
		t.Error("the order of acr values is wrong")
	}
}

func FuzzReadRecoveryCode(f *testing.F) {
	f.Add("ABCDE-12345")
	f.Add("abcde 12345")
	f.Fuzz(func(t *testing.T, text string) {
		code := readRecoveryCode(text)
		if code != "" && (len(code) != recoverySize || strings.Trim(code, recoveryAlphabet) != "" || readRecoveryCode(spellRecoveryCode(code)) != code) {
			t.Errorf("%q is read as %q", text, code)
		}
	})
}

// A device stands in for exactly one factor of one user under one epoch.
func TestFactorMark(t *testing.T) {
	t.Parallel()
	marks := map[string]bool{}
	for _, d := range []string{"d1", "d2"} {
		for _, u := range []string{"u1", "u2"} {
			for _, epoch := range []int64{1, 2} {
				for _, f := range []string{"f1", "f2"} {
					marks[factorMark(d, u, epoch, f)] = true
				}
			}
		}
	}
	if len(marks) != 16 {
		t.Errorf("%d marks for 16 things", len(marks))
	}
}
