package oauth

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// An Object is the text of a JSON object that grows by one member at a time. What
// is made for nearly every request is written with it: the text is the one that
// encoding/json makes, without reflection.
type Object struct{ text []byte }

// NewObject begins an object behind a text.
func NewObject(to []byte) Object { return Object{append(to, '{')} }

// End closes the object and returns it with what stands in front.
func (o *Object) End() []byte { return append(o.text, '}') }

// name begins a member.
func (o *Object) name(name string) {
	if o.text[len(o.text)-1] != '{' {
		o.text = append(o.text, ',')
	}
	o.text = append(AppendString(o.text, name), ':')
}

// Bool adds a truth value.
func (o *Object) Bool(name string, value bool) {
	o.name(name)
	o.text = strconv.AppendBool(o.text, value)
}

// Int adds a number.
func (o *Object) Int(name string, value int64) {
	o.name(name)
	o.text = strconv.AppendInt(o.text, value, 10)
}

// IntIf adds a number unless it is 0, as omitempty has it.
func (o *Object) IntIf(name string, value int64) {
	if value != 0 {
		o.Int(name, value)
	}
}

// Float adds a number, which must be finite.
func (o *Object) Float(name string, value float64) {
	o.name(name)
	o.text = strconv.AppendFloat(o.text, value, 'f', -1, 64)
}

// Time adds a time in the form of RFC 3339.
func (o *Object) Time(name string, at time.Time) {
	o.name(name)
	o.text = append(at.AppendFormat(append(o.text, '"'), time.RFC3339Nano), '"')
}

// IntsIf adds a list of numbers unless it is empty.
func (o *Object) IntsIf(name string, values []int64) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	for i, value := range values {
		o.text = strconv.AppendInt(append(o.text, separator(i)), value, 10)
	}
	o.text = append(o.text, ']')
}

// String adds a string.
func (o *Object) String(name, value string) {
	o.name(name)
	o.text = AppendString(o.text, value)
}

// StringIf adds a string unless it is empty.
func (o *Object) StringIf(name, value string) {
	if value != "" {
		o.String(name, value)
	}
}

// StringsIf adds a list of strings unless it is empty.
func (o *Object) StringsIf(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	for i, value := range values {
		o.text = AppendString(append(o.text, separator(i)), value)
	}
	o.text = append(o.text, ']')
}

// AudienceIf adds an audience unless it is empty: one recipient as a string.
func (o *Object) AudienceIf(name string, values Audience) {
	if len(values) == 1 {
		o.String(name, values[0])
		return
	}
	o.StringsIf(name, values)
}

// Raw adds a value that is JSON already.
func (o *Object) Raw(name string, value json.RawMessage) {
	o.name(name)
	o.text = append(o.text, value...)
}

// separator stands in front of an element of a list.
func separator(i int) byte {
	if i == 0 {
		return '['
	}
	return ','
}

// AppendString appends a text as a JSON string. Nearly all are plain and copied; the
// others are left to encoding/json.
func AppendString(to []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			text, _ := json.Marshal(s) // a string has a text, whatever is in it
			return append(to, text...)
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"')
}

// plain tells the bytes that stand for themselves in a JSON string.
var plain = func() (table [256]bool) {
	for c := byte(' '); c <= '~'; c++ {
		table[c] = !strings.ContainsRune(`"\<>&`, rune(c))
	}
	return table
}()
