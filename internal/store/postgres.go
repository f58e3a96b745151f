package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"
)

// IsPostgres reports whether a database address is that of a PostgreSQL server.
func IsPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// A cluster is a PostgreSQL database, or one that speaks like it.
type cluster struct {
	config *pgx.ConnConfig
	pool   *sql.DB
	most   int // connections
	watch  watch
	stop   context.CancelFunc // of what runs beside
	beside sync.WaitGroup
}

func openCluster(dsn string, o Options) (engine, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("store: database: %w", err) // pgx hides the password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 2 * time.Second / time.Duration(hosts(config)) // one that hangs leaves time for the next
	}
	if _, named := config.RuntimeParams["application_name"]; !named {
		config.RuntimeParams["application_name"] = "hufu"
	}
	connections := o.Connections
	if connections == 0 {
		connections = max(8, 4*runtime.GOMAXPROCS(0))
	}
	c := &cluster{config: config, most: connections, watch: o.Watch}
	if _, named := config.RuntimeParams[idleTimeout]; !named && c.isDirect() { // a pooler would refuse it
		config.RuntimeParams[idleTimeout] = strconv.FormatInt(abandoned.Milliseconds(), 10)
	}
	c.pool = stdlib.OpenDB(*config)
	return c, nil
}

// abandoned is how long a transaction may stand between two of its statements before
// PostgreSQL ends it. No call of ours waits as long, so it is that of a server whose
// machine has died without a word, and whoever needs what it has locked would wait
// for hours.
const (
	abandoned   = 2 * patience
	idleTimeout = "idle_in_transaction_session_timeout"
	takeTime    = "SET LOCAL " + idleTimeout + " = 0" // for those that do wait between their statements
)

// hosts counts the servers that an address names.
func hosts(config *pgx.ConnConfig) int {
	named := map[string]bool{fmt.Sprint(config.Host, ":", config.Port): true}
	for _, f := range config.Fallbacks { // also those that differ in TLS only
		named[fmt.Sprint(f.Host, ":", f.Port)] = true
	}
	return len(named)
}

// Connections are the connections to PostgreSQL; ok is false on SQLite.
func (s *Store) Connections() (stats sql.DBStats, ok bool) {
	c, ok := s.engine.(*cluster)
	if !ok {
		return stats, false
	}
	return c.pool.Stats(), true
}

func (c *cluster) admin() (*sql.DB, database.Dialect) { return c.pool, database.DialectPostgres }

func (c *cluster) begin(ctx context.Context, heard func()) (*queries, error) {
	c.pool.SetMaxOpenConns(c.most) // not before: migrations take two, however few are allowed
	c.pool.SetMaxIdleConns(c.most)
	c.pool.SetConnMaxIdleTime(5 * time.Minute)
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	if c.isDirect() {
		c.beside.Go(func() { c.listen(ctx, heard) })
	}
	return &queries{c.watch.over(reader{c})}, nil
}

func (c *cluster) close() error {
	if c.stop != nil {
		c.stop()
	}
	c.beside.Wait()
	return c.pool.Close()
}

// settle leaves room in the pages of grants: a refresh that finds some in its own
// page touches no index. A database that only speaks like PostgreSQL may not know of
// pages, and needs none of it.
func (c *cluster) settle(ctx context.Context) error {
	_, err := c.pool.ExecContext(ctx, `ALTER TABLE oauth_grant SET (fillfactor = 90)`)
	if err != nil && !isRefused(err) && !isUnsupported(err) {
		return fmt.Errorf("store: settle schema: %w", err)
	}
	return nil
}

func isUnsupported(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(answer.Code, "0A")
}

// lock does nothing: any number of servers work on one cluster.
func (c *cluster) lock() (release func() error, err error) {
	return func() error { return nil }, nil
}

// schemaLock is the number of the lock that migrations take.
const schemaLock = 0x68756675 // "hufu"

// lockSchema holds a lock in a transaction of its own, on a connection of its own:
// it goes with the process, and behind a pooler it stays with the transaction. Who
// has to wait lets the connection go meanwhile, since a pooler has only so many and
// the one that migrates takes two.
func (c *cluster) lockSchema(ctx context.Context) (release func() error, err error) {
	for try := 1; ; try++ {
		tx, err := c.pool.BeginTx(ctx, nil)
		if err != nil {
			return nil, fmt.Errorf("store: lock schema: %w", err)
		}
		held := false
		if _, err = tx.ExecContext(ctx, takeTime); err == nil {
			err = tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock($1)`, schemaLock).Scan(&held)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("store: lock schema: %w", err), tx.Rollback())
		}
		if held {
			return tx.Commit, nil
		}
		if err := tx.Rollback(); err != nil {
			return nil, fmt.Errorf("store: lock schema: %w", err)
		}
		if !pause(ctx, try) {
			return nil, fmt.Errorf("store: lock schema: %w", ctx.Err())
		}
	}
}

// copyAside does nothing: a copy of a cluster is its operator's.
func (c *cluster) copyAside(context.Context, int64) error { return nil }

// bound gives a call its patience. It does not end with its caller: that would
// close the connection, and strangers who hang up would cost one each. What an
// operator asks for takes as long as it takes (unhurried).
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Value(unhurriedKey{}) != nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}

type unhurriedKey struct{}

// unhurried lets everything under a context take as long as it takes.
func unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurriedKey{}, true)
}

// maxTries is how often a unit runs that keeps losing to its neighbours. One whose
// connections are lost runs once on each that the pool may hold, since all of them
// die with the server, and then on one that is new.
const maxTries = 20

// write runs a unit. One gated statement stands alone: PostgreSQL looks at its
// conditions again when it has waited for a neighbour. A unit of several statements
// begins with the one that takes the row it relies on, and each that follows sees
// what others have committed before that. A connection that was lost at the end takes
// the outcome with it, so only what may be done twice is tried on another then.
func (c *cluster) write(ctx context.Context, k kind, unit func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	for try, lost := 1, 0; ; try++ {
		undone, err := c.once(ctx, k, unit)
		switch {
		case isSerialization(err):
			if try == maxTries || !pause(ctx, try) {
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		case (undone || k != whole) && isLost(err) && lost < c.most && ctx.Err() == nil:
			lost++
		default:
			c.suspect(ctx)
			return err
		}
	}
}

// suspect closes the connections that nobody uses when a call has lost its patience:
// they lead to the same server, and each would cost another call its own. When the
// machine of a database dies, nothing else tells.
func (c *cluster) suspect(ctx context.Context) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.pool.SetMaxIdleConns(0)
		c.pool.SetMaxIdleConns(c.most)
	}
}

// once runs a unit. undone tells that nothing is there of one that failed.
func (c *cluster) once(ctx context.Context, k kind, unit func(tx *Tx) error) (undone bool, err error) {
	if k == single {
		return false, guard(unit, c.newTx(c.pool, ctx))
	}
	tx, err := c.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return true, err
	}
	if ctx.Value(unhurriedKey{}) != nil {
		_, err = tx.ExecContext(ctx, takeTime)
	}
	if err == nil {
		err = guard(unit, c.newTx(tx, ctx))
	}
	if err != nil {
		_ = tx.Rollback() // a connection that cannot is closed, which undoes as well
		return true, err
	}
	return false, tx.Commit()
}

func (c *cluster) newTx(p pool, ctx context.Context) *Tx { //nolint:revive // the context is part of it
	return &Tx{queries: &queries{c.watch.over(direct{p, ctx})}, share: " FOR SHARE", own: " FOR UPDATE"}
}

// guard runs a unit and turns a panic into its error.
func guard(unit func(tx *Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return unit(tx)
}

// pause lets neighbours finish; it grows, and differs between those who met.
func pause(ctx context.Context, try int) bool {
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(time.Millisecond) << min(try, 6)))) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pool is what *sql.DB and *sql.Tx share.
type pool interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// direct runs the statements of a unit; the driver prepares them once on each
// connection, unless the address says that a pooler stands between.
type direct struct {
	pool pool
	ctx  context.Context //nolint:containedctx // that of the unit, whoever's the closures hold
}

// rows are the answer of a statement.
type rows struct {
	*sql.Rows
	ctx  context.Context    //nolint:containedctx // that of the statement: its end may look like the end of the rows
	done context.CancelFunc // may be nil
}

func (r *rows) close(all bool) error {
	err := r.Rows.Close()
	if err == nil {
		err = r.Rows.Err()
	}
	if err == nil && all {
		err = r.ctx.Err()
	}
	if r.done != nil {
		r.done()
	}
	return err
}

func (d direct) query(_ context.Context, text string, args []any) (answer, error) {
	found, err := d.pool.QueryContext(d.ctx, text, args...)
	if err != nil {
		return nil, err
	}
	return &rows{Rows: found, ctx: d.ctx}, nil
}

func (d direct) exec(_ context.Context, text string, args []any) (int64, error) {
	result, err := d.pool.ExecContext(d.ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// reader runs what only reads. A connection that was lost says nothing about the
// database, so another one is asked.
type reader struct{ *cluster }

func (r reader) query(ctx context.Context, text string, args []any) (answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := bound(ctx)
	for try, lost := 1, 0; ; {
		found, err := r.pool.QueryContext(ctx, text, args...)
		switch {
		case err == nil:
			return &rows{Rows: found, ctx: ctx, done: cancel}, nil
		case isLost(err) && lost < r.most && ctx.Err() == nil:
			lost++
		case isSerialization(err) && try < maxTries && pause(ctx, try):
			try++
		default:
			r.suspect(ctx)
			cancel()
			return nil, err
		}
	}
}

func (r reader) exec(context.Context, string, []any) (int64, error) {
	return 0, errors.New("store: a write outside of a transaction")
}

// isLost reports whether a connection broke, so that the fate of its statement is
// unknown. One that could not be made in the first place is another matter.
func isLost(err error) bool {
	if _, dialled := errors.AsType[*pgconn.ConnectError](err); dialled {
		return false
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(answer.Code, "57P") || strings.HasPrefix(answer.Code, "08") // shut down, cut off
	}
	_, network := errors.AsType[*net.OpError](err)
	return network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// isSerialization reports whether a unit lost to a neighbour and was undone.
func isSerialization(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (answer.Code == "40001" || answer.Code == "40P01") // serialization failure, deadlock
}

// isRefused reports whether PostgreSQL found fault with a statement: with a value,
// a rule of the schema, or the text itself.
func isRefused(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch answer.Code[:2] {
	case "22", "23", "42":
		return true
	}
	return false
}
