package login_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-auth/hufu/internal/login"
	"github.com/hufu-auth/hufu/internal/web"
)

// Whatever a list holds is found again, in other spellings too, and hardly anything
// else is: fewer than one password in 100,000 by chance (PW-04).
func TestCommonPasswordsFilter(t *testing.T) {
	t.Parallel()
	var list, lines []string
	letters := strings.NewReplacer("2", "b", "3", "c", "4", "d", "5", "f", "6", "g", "7", "h")
	for range 40_000 {
		list = append(list, letters.Replace(strings.ToLower(rand.Text())))
	}
	lines = append(append(lines, list...), "", " ", "x", "Träumerei77", "我爱你一万年", "!!!!")
	var filter bytes.Buffer
	n, err := login.WriteCommonPasswords(&filter, strings.NewReader(strings.Join(lines, "\n")))
	if err != nil || n != len(list)+2 {
		t.Fatalf("%d of %d, %v", n, len(list), err)
	}
	packed := filter.String()
	for _, p := range append(list, "traumerei", "TRÄUMEREI", "tr4um3r31", "我爱你一万年") {
		if !login.InFilter(packed, p) {
			t.Errorf("%q is not found", p)
		}
	}
	found := 0
	const tries = 200_000
	text := []byte("000000000000")
	for i := range tries {
		for k := range 4 {
			text[3*k] = byte('a' + i>>(5*k)&15) // letters and digits that no entry is made of
		}
		if login.InFilter(packed, string(text)) {
			found++
		}
	}
	if found > 3 { // a sixteenth is to be expected
		t.Errorf("%d of %d that are not in it are found", found, tries)
	}
}

// A filter that promises less than it says is not made.
func TestCommonPasswordsTooMany(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	for range login.MaxCommon + 1 {
		list.WriteString(rand.Text() + "\n")
	}
	var filter bytes.Buffer
	if n, err := login.WriteCommonPasswords(&filter, strings.NewReader(list.String())); err == nil || filter.Len() > 0 {
		t.Errorf("%d were taken", n)
	}
}

// The filter that the server carries is small, and holds what everybody tries first.
func TestCommonPasswordsShipped(t *testing.T) {
	t.Parallel()
	if size := len(login.CommonPasswords); size > 300_000 || size < 100_000 {
		t.Errorf("the filter has %d bytes", size)
	}
	var missing []string
	for _, p := range []string{
		"password", "iloveyou", "qwertyuiop", "letmein", "sunshine", "princess", "football", "baseball", "welcome", "monkey", "dragon", "superman",
		"trustno1", "whatever", "starwars", "computer", "michelle", "jennifer", "woaini", "5201314", "woaini1314520", "nihaoma", "beijing", "密码", "我爱你",
	} {
		if !login.InFilter(login.CommonPasswords, p) {
			missing = append(missing, p)
		}
	}
	if missing != nil {
		t.Errorf("not in it: %q", missing)
	}
}

// Every disguise of a common password that everybody knows is seen through, and what is
// long, or put together from several words, is not taken for one (PW-04).
func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	alice := []string{"Alice.Liddell", "alice.liddell", "al.liddell@wonderland.example", "Alice Pleasance Liddell", "爱丽丝", "+44 20 7946 0958", "1852-05-04"}
	for problem, passwords := range map[web.PasswordProblem][]string{
		"": {
			"correct horse battery", "correct horse battery staple", "x7#Kp2!vQ9", "tr0ub4dor&3 and more", "一句足够长的口令短语", "a long pass phrase",
			"violet-otter-hums", "kJ8v 2mQz 4xYt", "8401937265", "aliceandthehatter", "down the rabbit hole", "Zeitgeistwanderung",
			"mein Hund frisst Gras", "夜来风雨声花落知多少", "dragon and a lamp", "mytomatoesareripe", "qwerty-is-not-a-word", "0x3F9c1bA7",
			"horse48617359", "  leading spaces", "añoviejoynuevo", "alice-demo-password", "bob-demo-password", "xkcdxkcd-vwzq",
		},
		web.PasswordShort: {"", "short", "123456789", "密码密码密码密码密", strings.Repeat("e\u0301", 9)},
		web.PasswordLong:  {strings.Repeat("long ", 205), strings.Repeat("虎", 342)},
		web.PasswordOwn: {
			"alice.liddell", "AliceLiddell1", "liddell-alice", "Liddell2024!", "4l1c3liddell", "lleddil.ecila", "alicealice", "wonderland!",
			"wonderland1", "爱丽丝爱丽丝爱丽丝2024", "02079460958", "+442079460958", "1852-05-04!", "Alice18520504", "hufuhufuhufu", "acmeportal", "Acme-Portal-2024",
			"alicepassword1", "PasswordAlice", "pleasance 99",
		},
		web.PasswordRepeated: {"aaaaaaaaaa", "abababababab", "abcabcabcabc", "虎虎虎虎虎虎虎虎虎虎", "12121212121", "aaaaaaaaaa1!", "x1x1x1x1x1x1", "hallohallo", "abcabcabc12!", "--------------", "aaabbbcccc", "11112222333", "我爱你我爱你我爱你1"},
		web.PasswordSequence: {
			"1234567890", "0123456789", "9876543210", "abcdefghij", "qwertyuiop", "qwertyuiop1", "QWERTYUIOP!", "asdfghjkl;", "zyxwvutsrq", "1qaz2wsx3edc",
			"qwerty12345", "qazwsxedcrfv", "123qweasdzxc", "a1b2c3d4e5f6", "q1w2e3r4t5", "!@#$%^&*()", "1234554321", "2024-01-01", "19900101!!", "12345678900", "31.12.1999",
		},
		web.PasswordCommon: {
			"Password123!", "P@ssw0rd2024", "p4$$w0rd!!", "passwordpassword", "PasswordPassword1", "iloveyou123", "ILoveYou!!", "i love you!!", "sunshine2023", "princess01",
			"superman!!!", "123password", "!!letmein!!", "trustno1!!!", "1loveyou12", "baseball1990", "Dragon2024!", "woaini1314520", "Woaini5201314", "zhongguo2008", "woaini1990",
			"monkey1234567890", "ｐａｓｓｗｏｒｄ１２", "pássword123", "P.a.s.s.w.o.r.d", "password\t123", "basketball", "manchester", "liverpool1", "christopher",
		},
	} {
		for _, password := range passwords {
			var got web.PasswordProblem
			err := (&login.PasswordPolicy{Site: "Acme Portal"}).Check(password, alice...)
			if wrong, ok := err.(*login.PasswordError); ok { //nolint:errorlint // it is returned bare
				got = wrong.Problem
			} else if err != nil {
				t.Fatal(err)
			}
			if got != problem {
				t.Errorf("%q: %q, want %q", password, got, problem)
			}
		}
	}
}

// Of passwords that a program made, one in 100,000 at most is refused by chance (PW-04).
// More than two of these would be refused once in 6,000 runs even then.
func TestPasswordPolicyRandom(t *testing.T) {
	t.Parallel()
	var policy login.PasswordPolicy
	var refused []string
	for range 5_000 {
		for _, password := range []string{rand.Text()[:12], strings.ToLower(rand.Text()[:12])} {
			if policy.Check(password, "alice", "alice@example.com") != nil {
				refused = append(refused, password)
			}
		}
	}
	if len(refused) > 2 {
		t.Errorf("%d of 10,000 are refused: %q", len(refused), refused)
	}
}

// FuzzPasswordPolicy: an accepted password is one that more than a few tries need, in
// whatever case and width it is written, with whatever few signs behind it; and what
// is refused stays so.
func FuzzPasswordPolicy(f *testing.F) {
	for _, seed := range []string{"correct horse battery", "Password123!", "qwertyuiop1", "aaaaaaaaaa", "\xff\xfe", "e\u0301e\u0301", "１２３４５６７８９０", "alice-alice", "ﷺﷺ", "\u0300\u0300\u0300\u0300\u0300\u0300\u0300\u0300\u0300\u0300"} {
		f.Add(seed, "alice")
	}
	f.Fuzz(func(t *testing.T, password, name string) {
		var policy login.PasswordPolicy
		first := policy.Check(password, name)
		if err := policy.Check(password); err != nil && first == nil {
			t.Errorf("%q is refused without a name, and taken with %q", password, name)
		}
		if first != nil {
			return
		}
		if n := len([]rune(password)); n < login.MinPassword || len(password) > login.MaxPassword {
			t.Errorf("%q has %d characters", password, n)
		}
		if slices.Max([]rune(password)) == slices.Min([]rune(password)) {
			t.Errorf("%q is one character", password)
		}
		if err := policy.Check(strings.ToLower(strings.ToUpper(password)), name); err != nil && isASCII(password) {
			t.Errorf("%q is refused in other letters: %v", password, err)
		}
	})
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > 127 })
}

// BenchmarkPasswordPolicy is about a password of usual length, and the longest.
func BenchmarkPasswordPolicy(b *testing.B) {
	var policy login.PasswordPolicy
	for name, password := range map[string]string{"usual": "correct horse battery", "longest": strings.Repeat("0123456789a1b2", 73)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = policy.Check(password, "alice", "alice@example.com", "Alice Adams")
			}
		})
	}
}
