package mail

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// A Printer shows letters instead of sending them, for a server that people only try.
type Printer struct {
	Out io.Writer

	mu sync.Mutex // letters do not run into each other
}

// Send implements Sender.
func (p *Printer) Send(_ context.Context, l *Letter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "\nMail to %s: %s\n", plain(l.To), plain(l.Subject))
	for line := range strings.Lines(l.Text) {
		b.WriteString("  | " + strings.TrimRight(line, "\n") + "\n")
	}
	_, err := io.WriteString(p.Out, b.String()+"\n")
	return err
}
