package web

// playgroundKeys are the catalogue keys that the playground makes in Go.
func playgroundKeys() []string {
	var keys []string
	for _, w := range playgroundWalks {
		keys = append(keys, "playground.walk."+string(w)+".title", "playground.walk."+string(w)+".text")
	}
	for _, s := range playgroundSteps {
		keys = append(keys, "playground.step."+string(s)+".title", "playground.step."+string(s)+".text")
	}
	for _, s := range playgroundRuns {
		keys = append(keys, "playground.step."+string(s)+".do", "playground.step."+string(s)+".short")
	}
	for _, n := range playgroundNotes {
		keys = append(keys, "playground.note."+string(n))
	}
	for _, f := range playgroundFaults {
		keys = append(keys, "playground.fault."+string(f))
	}
	for prefix, names := range map[string][]string{"playground.input.": playgroundInputs, "playground.parameter.": playgroundParameters, "playground.claim.": playgroundClaims} {
		for _, name := range names {
			keys = append(keys, prefix+name)
		}
	}
	for _, name := range playgroundTokens {
		keys = append(keys, "playground.token."+name+".title")
	}
	return append(keys, "playground.token.header", "playground.token.claims", PlaygroundPage{}.frame().title)
}
