package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// String is the whole configuration as a file of its own, with every secret
// replaced. It serves `hufu config check` and whoever prints a Config by mistake.
func (c Config) String() string {
	var b strings.Builder
	for _, key := range keys() {
		fmt.Fprintf(&b, "%s: %s\n", key, c.text(key))
	}
	return b.String()
}

// GoString keeps %#v from showing more than %v.
func (c Config) GoString() string { return c.String() }

// LogValue implements slog.LogValuer: one attribute per key, secrets replaced.
func (c Config) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, key := range keys() {
		attrs = append(attrs, slog.String(key, c.text(key)))
	}
	return slog.GroupValue(attrs...)
}

// text is the value of one key as it would stand in a file.
func (c *Config) text(key string) string {
	value, _ := c.field(key)
	if key == "database" && strings.Contains(c.Database, "://") {
		return strconv.Quote(redacted) // such an address may hold a password
	}
	return textOf(value)
}

func textOf(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case Secret:
		return strconv.Quote(value.String())
	case time.Duration:
		return formatDuration(value)
	case netip.Prefix:
		return strconv.Quote(value.String())
	}
	switch v.Kind() {
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = textOf(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Struct:
		var parts []string
		for _, key := range keysOf(v.Type()) {
			field, _ := fieldByKey(v, key)
			parts = append(parts, key+": "+textOf(field))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case reflect.String:
		return strconv.Quote(v.String())
	}
	return fmt.Sprint(v.Interface())
}
