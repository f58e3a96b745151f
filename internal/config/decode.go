package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A decoder puts YAML nodes into fields and collects what is wrong with them.
type decoder struct {
	file     string
	mistakes []error
}

// decode puts a node into target. Nothing (`key:`) leaves target as it is. Tags,
// anchors and aliases are refused: a configuration reads as what it says.
func (d *decoder) decode(name string, n ast.Node, target reflect.Value) {
	if n == nil || n.Type() == ast.NullType {
		return
	}
	switch target.Interface().(type) {
	case time.Duration, netip.Prefix:
		d.decodeScalar(name, n, target)
		return
	}
	switch target.Kind() {
	case reflect.Slice:
		d.decodeList(name, n, target)
	case reflect.Struct:
		d.decodeMapping(name, n, target)
	default:
		d.decodeScalar(name, n, target)
	}
}

func (d *decoder) decodeList(name string, n ast.Node, target reflect.Value) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.refuse(name, n, "want a list, as in [a, b]")
		return
	}
	values := reflect.MakeSlice(target.Type(), len(list.Values), len(list.Values))
	for i, item := range list.Values {
		where := fmt.Sprintf("%s[%d]", name, i)
		if item.Type() == ast.NullType {
			d.refuse(where, item, "is empty")
			continue
		}
		d.decode(where, item, values.Index(i))
	}
	target.Set(values)
}

func (d *decoder) decodeMapping(name string, n ast.Node, target reflect.Value) {
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		d.refuse(name, n, "want keys: "+strings.Join(keysOf(target.Type()), ", "))
		return
	}
	for _, entry := range mapping.Values {
		key := keyName(entry)
		field, ok := fieldByKey(target, key)
		if !ok {
			d.mistakes = append(d.mistakes, unknownKey(name+"."+key, d.place(entry.Key), nil))
			continue
		}
		d.decode(name+"."+key, entry.Value, field)
	}
}

func (d *decoder) decodeScalar(name string, n ast.Node, target reflect.Value) {
	text, ok := scalarText(n)
	if !ok {
		d.refuse(name, n, "want a single plain value")
		return
	}
	var err error
	switch target.Interface().(type) {
	case time.Duration:
		var v time.Duration
		if v, err = parseDuration(text); err == nil {
			target.SetInt(int64(v))
		}
	case netip.Prefix:
		var v netip.Prefix
		if v, err = parsePrefix(text); err == nil {
			target.Set(reflect.ValueOf(v))
		}
	default:
		err = setBasic(target, n, text)
	}
	if err != nil {
		d.refuse(name, n, err.Error())
	}
}

func setBasic(target reflect.Value, n ast.Node, text string) error {
	switch target.Kind() {
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return fmt.Errorf("want true or false")
		}
		target.SetBool(b.Value)
	case reflect.Int:
		v, err := strconv.Atoi(text)
		if err != nil || n.Type() != ast.IntegerType {
			return fmt.Errorf("want a whole number")
		}
		target.SetInt(int64(v))
	default:
		panic("config: no decoder for " + target.Type().String())
	}
	return nil
}

func (d *decoder) refuse(name string, n ast.Node, reason string) {
	d.mistakes = append(d.mistakes, &Mistake{Name: name, Place: d.place(n), Reason: reason})
}

func (d *decoder) place(n ast.Node) string {
	if d.file == "" {
		return "" // an environment variable has one line
	}
	return fmt.Sprintf("%s line %d", d.file, line(n))
}

// scalarText is what was written for a plain value, quotes and escapes undone:
// text fields want 007 as it stands, not the number 7.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func keyName(entry *ast.MappingValueNode) string {
	if text, ok := scalarText(entry.Key); ok {
		return text
	}
	return entry.Key.String()
}

func line(n ast.Node) int {
	if token := n.GetToken(); token != nil && token.Position != nil {
		return token.Position.Line
	}
	return 0
}

// fieldByKey finds the field whose yaml tag is key.
func fieldByKey(structure reflect.Value, key string) (reflect.Value, bool) {
	for i, t := range fields(structure.Type()) {
		if t == key && key != "" {
			return structure.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// keysOf lists the yaml tags of a struct.
func keysOf(t reflect.Type) []string {
	var all []string
	for _, key := range fields(t) {
		if key != "" {
			all = append(all, key)
		}
	}
	return all
}

// fields lists the tag of every field, "" for those without.
func fields(t reflect.Type) []string {
	all := make([]string, t.NumField())
	for i := range all {
		all[i] = t.Field(i).Tag.Get("yaml")
	}
	return all
}

// parseDuration reads a duration in Go's syntax, with days in front: 90d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("want a duration, as in 30s, 10m, 12h or 90d")
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		v, err := time.ParseDuration(text)
		if err != nil {
			return 0, wrong
		}
		return v, nil
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, wrong
	}
	var v time.Duration
	if rest != "" {
		if v, err = time.ParseDuration(rest); err != nil || v < 0 || v >= 24*time.Hour || rest[0] == '+' || rest[0] == '-' {
			return 0, wrong
		}
	}
	return time.Duration(n)*24*time.Hour + v, nil
}

// formatDuration writes a duration as parseDuration reads it, in the largest
// units that fit: 90d, 12h, 1m30s.
func formatDuration(v time.Duration) string {
	const day = 24 * time.Hour
	if v < 0 || v >= 1<<16*day {
		return v.String()
	}
	text := ""
	if v >= day {
		text, v = strconv.Itoa(int(v/day))+"d", v%day
	}
	if v == 0 {
		if text == "" {
			return "0s"
		}
		return text
	}
	rest := v.String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	return text + rest
}

// parsePrefix reads a network, or one address as a network of its own.
func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" || a.Is4In6() {
			return netip.Prefix{}, fmt.Errorf("want an address without a zone, IPv4 in its own form")
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("want an address or a network, as in 10.0.0.7 or 10.0.0.0/8")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("want a network without host bits; is it %s?", p.Masked())
	}
	return p, nil
}
