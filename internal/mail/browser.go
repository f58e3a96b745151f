package mail

import "strings"

// Browser says in words what browser and system a User-Agent names, "" for what is not
// known. The words are ours: what was sent is shown to nobody.
func Browser(userAgent string) (browser, system string) {
	return first(userAgent, browsers), first(userAgent, systems)
}

// A sign is a word in a User-Agent and what it stands for.
type sign struct{ word, name string }

// Most browsers name others that they descend from, so the first that fits counts.
var (
	browsers = []sign{
		{"MicroMessenger/", "WeChat"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"Edg/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Vivaldi/", "Vivaldi"}, {"YaBrowser/", "Yandex"}, {"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"},
		{"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems = []sign{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"HarmonyOS", "HarmonyOS"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"},
		{"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

func first(userAgent string, signs []sign) string {
	for _, s := range signs {
		if strings.Contains(userAgent, s.word) {
			return s.name
		}
	}
	return ""
}
