package login

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// The filter of common passwords: HUFU_PASSWORD_LISTS names a directory of text files,
// one password a line. docs/decisions/0020 says where those of this one came from.
//
//go:generate sh -c "go run ./makecommon \"$HUFU_PASSWORD_LISTS\" common_passwords.bin"
//go:embed common_passwords.bin
var commonPasswords string

// What the filter is made of: the first filterBits bits of the SHA-256 of every
// skeleton, in order. They are cut into parts by their first partBits bits; a table of
// where each part begins, in bits, stands in front. Within a part stands how far each
// value is from the one before, in a Rice code: the quotient by 1<<riceBits in unary,
// then the remainder.
//
// A skeleton that is not in it is found with a chance of one in 1<<filterBits for each
// value it holds: one in 1.3 million with 100,000 of them. A password is looked up in
// eight spellings at most, so fewer than one password in 100,000 is refused by chance.
const (
	filterBits = 37
	partBits   = 11
	riceBits   = 20
	partTable  = 4 * (1<<partBits + 1)
)

// maxCommon is how many skeletons the filter may hold, for the chance above.
const maxCommon = 1 << (filterBits - riceBits)

// filterValue is what stands in the filter for a skeleton.
func filterValue(skeleton string) uint64 {
	sum := sha256.Sum256([]byte(skeleton))
	return binary.BigEndian.Uint64(sum[:]) >> (64 - filterBits)
}

// known reports whether a word, in any spelling, is in the filter.
func known(folded []rune) bool {
	return width(folded) >= 4 && inFilter(commonPasswords, filterValue(skeleton(folded)))
}

// inFilter looks a value up without unpacking more than its part.
func inFilter(filter string, value uint64) bool {
	const inPart = filterBits - partBits
	if len(filter) < partTable {
		return false
	}
	begin := func(part uint64) uint32 { return binary.BigEndian.Uint32([]byte(filter[4*part : 4*part+4])) }
	part := value >> inPart
	r := bitReader{filter[partTable:], begin(part)}
	at := part << inPart
	for end := begin(part + 1); r.at < end; {
		at += r.rice()
		if at >= value {
			return at == value
		}
	}
	return false
}

// A bitReader reads a text bit by bit, the highest of each byte first.
type bitReader struct {
	text string
	at   uint32
}

func (r *bitReader) bit() uint64 {
	b := r.text[r.at/8] >> (7 - r.at%8) & 1
	r.at++
	return uint64(b)
}

func (r *bitReader) rice() uint64 {
	n := uint64(0)
	for r.bit() == 1 {
		n++
	}
	for range riceBits {
		n = n<<1 | r.bit()
	}
	return n
}

// WriteCommonPasswords makes a filter from a list with one password a line, and tells
// how many skeletons it holds.
func WriteCommonPasswords(w io.Writer, list io.Reader) (int, error) {
	values := map[uint64]bool{}
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		for _, s := range skeletonsOf(strings.TrimSpace(lines.Text())) {
			values[filterValue(s)] = true
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	if len(values) > maxCommon {
		return 0, fmt.Errorf("%d different passwords, want at most %d", len(values), maxCommon)
	}
	sorted := make([]uint64, 0, len(values))
	for v := range values {
		sorted = append(sorted, v)
	}
	slices.Sort(sorted)
	_, err := w.Write(packFilter(sorted))
	return len(sorted), err
}

// skeletonsOf are the skeletons under which a common password is found.
func skeletonsOf(password string) []string {
	folded := foldPassword(password)
	before, inner, after := core(folded)
	switch {
	case width(folded) < 4 || !slices.ContainsFunc(folded, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }):
		return nil
	case width(inner) < 4:
		return []string{skeleton(folded)}
	case pieces(before)+pieces(after) > fewPieces:
		return []string{skeleton(inner), skeleton(folded)}
	}
	return []string{skeleton(inner)}
}

// packFilter makes a filter of values in order.
func packFilter(values []uint64) []byte {
	const inPart = filterBits - partBits
	table := make([]byte, partTable)
	var bits []byte
	n := uint32(0)
	put := func(bit uint64) {
		if n%8 == 0 {
			bits = append(bits, 0)
		}
		bits[n/8] |= byte(bit << (7 - n%8))
		n++
	}
	for part := range uint64(1 << partBits) {
		binary.BigEndian.PutUint32(table[4*part:], n)
		for at := part << inPart; len(values) > 0 && values[0]>>inPart == part; values = values[1:] {
			gap := values[0] - at
			for range gap >> riceBits {
				put(1)
			}
			put(0)
			for i := riceBits - 1; i >= 0; i-- {
				put(gap >> i & 1)
			}
			at = values[0]
		}
	}
	binary.BigEndian.PutUint32(table[partTable-4:], n)
	return append(table, bits...)
}
