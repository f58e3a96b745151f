package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hufu-auth/hufu/internal/dbtest"
)

// postgresSection measures the table on a PostgreSQL server of its own, which waits
// for the disk as an operator's does.
func (b *bench) postgresSection(ctx context.Context) (err error) {
	cluster, err := dbtest.Open(dbtest.Options{Durable: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	began := time.Now()
	db, err := b.seed(ctx, "postgres", cluster)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.fill(ctx, b.Grants); err != nil {
		return err
	}
	db.tell("postgres", began)
	return b.tables(ctx, "postgres", db)
}
