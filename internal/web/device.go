package web

import "strings"

// A Device is what a browser says of itself, in the names that people know. It is a
// help for the memory and proves nothing: a browser may say anything.
type Device struct {
	Browser string // "" when it is none that we know
	System  string // "" likewise
	Phone   bool   // something to hold in a hand
}

// Browsers say that they are others as well, so the first of a list that is found counts.
var (
	browserNames = [][2]string{
		{"MicroMessenger/", "WeChat"}, {"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Vivaldi/", "Vivaldi"}, {"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systemNames = [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"HarmonyOS", "HarmonyOS"}, {"Windows", "Windows"},
		{"CrOS", "ChromeOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"},
	}
	phones = []string{"iPhone", "iPad", "Android", "HarmonyOS"}
)

// DeviceOf reads the User-Agent of a request, RFC 9110 Section 10.1.5.
func DeviceOf(userAgent string) Device {
	d := Device{Browser: firstOf(browserNames, userAgent), System: firstOf(systemNames, userAgent)}
	for _, phone := range phones {
		d.Phone = d.Phone || d.System == phone
	}
	return d
}

func firstOf(names [][2]string, text string) string {
	for _, n := range names {
		if strings.Contains(text, n[0]) {
			return n[1]
		}
	}
	return ""
}
