package login

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fewPieces is how many pieces of a password may be left beside what a guesser knows
// already: a word and "2024!" are three.
const fewPieces = 4

// foldPassword takes from a password what guessers vary anyway: case, width, accents.
func foldPassword(password string) []rune {
	var folded []rune
	for _, r := range norm.NFKD.String(password) {
		if !unicode.Is(unicode.Mn, r) {
			folded = append(folded, unicode.ToLower(r))
		}
	}
	return folded
}

// plainLetters are the letters that digits and signs are written for. l and i become
// one, since 1 stands for both.
var plainLetters = map[rune]rune{
	'0': 'o', '1': 'i', '!': 'i', '|': 'i', 'l': 'i', '3': 'e', '4': 'a', '@': 'a', '5': 's', '$': 's', '7': 't', '+': 't', '8': 'b', '9': 'g', '€': 'e',
}

// plain reads digits and signs as the letters they look like.
func plain(folded []rune) []rune {
	read := slices.Clone(folded)
	for i, r := range read {
		if letter, ok := plainLetters[r]; ok {
			read[i] = letter
		}
	}
	return read
}

// skeleton is what all spellings of one word share: its letters, or its digits when
// there are no letters.
func skeleton(folded []rune) string {
	if slices.ContainsFunc(folded, unicode.IsLetter) {
		folded = plain(folded)
	}
	var b strings.Builder
	for _, r := range folded {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// core cuts off what stands around the letters of a password.
func core(folded []rune) (before, inner, after []rune) {
	first := slices.IndexFunc(folded, unicode.IsLetter)
	if first < 0 {
		return nil, nil, folded
	}
	last := len(folded)
	for !unicode.IsLetter(folded[last-1]) {
		last--
	}
	return folded[:first], folded[first:last], folded[last:]
}

// unit is the shortest text that a password repeats, at least once more in whole; a
// text that repeats nothing is its own.
func unit(text []rune) []rune {
	// The border table of Knuth, Morris and Pratt: the shortest period of a text is
	// what its longest border leaves.
	border := make([]int, len(text)+1)
	border[0] = -1
	for i, k := 0, -1; i < len(text); i++ {
		for k >= 0 && text[i] != text[k] {
			k = border[k]
		}
		k++
		border[i+1] = k
	}
	if period := len(text) - border[len(text)]; 2*period <= len(text) {
		return text[:period]
	}
	return text
}

// isRepeated finds one character or a short pattern, over and over, also with
// something around it.
func isRepeated(folded []rune) bool {
	different := slices.Clone(folded)
	slices.Sort(different)
	if len(slices.Compact(different)) <= 3 {
		return true
	}
	before, inner, after := core(folded)
	return len(unit(folded)) <= 5 || len(inner) >= MinPassword/2 && len(unit(inner)) <= 5 && 2*len(unit(inner)) <= len(inner) && pieces(before)+pieces(after) <= fewPieces
}

// isSequence finds passwords that are hardly more than keys in a row and counts, also
// two of them woven into one another.
func isSequence(folded []rune) bool {
	if pieces(folded) <= fewPieces {
		return true
	}
	var woven [2][]rune
	for i, r := range folded {
		woven[i%2] = append(woven[i%2], r)
	}
	return pieces(woven[0])+pieces(woven[1]) <= fewPieces
}

// isCommon finds passwords that many people have, in any of the disguises that
// everybody knows: it looks up eight spellings at most.
func isCommon(folded []rune) bool {
	if known(folded) {
		return true
	}
	before, inner, after := core(folded)
	if len(inner) == 0 || around(before)+around(after) > fewPieces {
		return false
	}
	if known(inner) || known(folded[len(before):]) || known(folded[:len(folded)-len(after)]) {
		return true
	}
	again := unit(inner)
	if len(again) == len(inner) {
		again = unit(folded)
	}
	if len(again) == len(folded) || len(again) == len(inner) {
		return false
	}
	_, again, _ = core(again)
	return known(again)
}

// around counts the pieces that stand before or behind a word; a number that many
// people have is one.
func around(part []rune) int {
	if n := pieces(part); n <= fewPieces {
		return n
	}
	if known(part) {
		return 1
	}
	return len(part)
}

// isOwn finds passwords that are hardly more than the names given.
func isOwn(folded []rune, names []string) bool {
	read := plain(folded)
	rest, found := withoutNames(folded, read, names)
	if !found {
		return false
	}
	if pieces(rest) <= fewPieces {
		return true
	}
	before, inner, after := core(rest)
	return len(inner) > 0 && known(inner) && pieces(before)+pieces(after) <= fewPieces
}

// withoutNames is what is left of a password when the names are taken out of it, in
// whatever letters they are written, forwards and backwards.
func withoutNames(folded, read []rune, names []string) (rest []rune, found bool) {
	taken := make([]bool, len(folded))
	for _, name := range names {
		if len(name) > MaxPassword {
			continue // no password holds it
		}
		letters := plain(foldPassword(name))
		if width(letters) < 3 {
			continue // two letters are in every other word
		}
		backwards := slices.Clone(letters)
		slices.Reverse(backwards)
		for _, word := range [][]rune{letters, backwards} {
			for i := 0; i+len(word) <= len(read); i++ {
				if slices.Equal(read[i:i+len(word)], word) {
					found = true
					for k := range word {
						taken[i+k] = true
					}
				}
			}
		}
	}
	for i, r := range folded {
		if !taken[i] {
			rest = append(rest, r)
		}
	}
	return rest, found
}

// width is about how many letters' worth of meaning a text has: a Chinese character is
// a word.
func width(text []rune) int {
	n := len(text)
	for _, r := range text {
		if unicode.Is(unicode.Han, r) {
			n++
		}
	}
	return n
}

// pieces counts what a guesser has to guess: a date, keys in a row, a count or one
// character repeated is one piece, and so is any other character.
func pieces(text []rune) int {
	n := 0
	for i := 0; i < len(text); n++ {
		i += max(1, run(text[i:]), date(text[i:]))
	}
	return n
}

// dates are the spellings of a day or a year.
var dates = regexp.MustCompile(`^(?:(?:19|20)\d\d[-./_ ]?(?:0?[1-9]|1[0-2])[-./_ ]?(?:[12]\d|3[01]|0?[1-9])|` +
	`(?:[12]\d|3[01]|0?[1-9])[-./_ ]?(?:[12]\d|3[01]|0?[1-9])[-./_ ]?(?:19|20)\d\d|(?:19|20)\d\d)`)

// date is the length of the date that a text begins with, or 0.
func date(text []rune) int {
	if text[0] < '0' || text[0] > '9' {
		return 0
	}
	return len(dates.FindString(string(text[:min(len(text), 10)]))) // digits and signs: bytes are characters
}

// keyRows are the keys of a keyboard, row by row, and the first with shift.
var keyRows = [][]rune{[]rune("1234567890-="), []rune("qwertyuiop[]"), []rune("asdfghjkl;'"), []rune("zxcvbnm,./"), []rune("!@#$%^&*()_+")}

// keys is where each key is: a row and a place in it.
var keys = func() map[rune][2]int {
	at := map[rune][2]int{}
	for row, line := range keyRows {
		for column, key := range line {
			at[key] = [2]int{row % 4, column}
		}
	}
	return at
}()

// Steps from one character to the next that go on in one direction.
const (
	stepSame = 1 << iota
	stepUp
	stepDown
	stepRight
	stepLeft
	stepBelow
	stepAbove
)

// step tells in which directions b comes after a.
func step(a, b rune) int {
	steps := 0
	switch counts := unicode.IsLetter(a) && unicode.IsLetter(b) || unicode.IsDigit(a) && unicode.IsDigit(b); {
	case a == b:
		return stepSame
	case counts && b == a+1:
		steps |= stepUp
	case counts && b == a-1:
		steps |= stepDown
	}
	from, ok := keys[a]
	to, too := keys[b]
	if ok && too {
		switch [2]int{to[0] - from[0], to[1] - from[1]} {
		case [2]int{0, 1}:
			steps |= stepRight
		case [2]int{0, -1}:
			steps |= stepLeft
		case [2]int{1, 0}:
			steps |= stepBelow
		case [2]int{-1, 0}:
			steps |= stepAbove
		}
	}
	return steps
}

// run is how many characters at the beginning of a text go on in one direction; 0 for
// fewer than three.
func run(text []rune) int {
	n, steps := 1, ^0
	for ; n < len(text); n++ {
		if steps &= step(text[n-1], text[n]); steps == 0 {
			break
		}
	}
	if n < 3 {
		return 0
	}
	return n
}
