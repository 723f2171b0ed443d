package pgstore

import (
	"fmt"
	"strconv"
	"strings"
)

// statements are the texts of one engine: the schema is named in each, since a search path belongs to a session.
type statements struct {
	beginView, beginUpdate                  []string
	get, lock, hold, put, remove, unhold    string
	scan, scanAll, tables                   string
	leaseTake, leaseKeep, leaseLeft         string
	leaseGive, leaseHeld, sweep, metaSelect string
}

// texts fills the schema and the clock in. pooled: others use the same sessions; lazy: the server is set to answer
// before it wrote to the disk.
func (o Options) texts(pooled, lazy bool) statements {
	schema := quote(o.Schema)
	in := strings.NewReplacer("{s}", schema).Replace
	return statements{
		beginView:   o.begin("repeatable read read only", pooled, lazy),
		beginUpdate: o.begin("read committed read write", pooled, lazy),

		get:  in(`select value, until from {s}.records where tab = $1 and key = $2`),
		lock: in(`select value, until from {s}.records where tab = $1 and key = $2 for update`),
		// hold makes a row to lock where there is none. It is expired, so nobody would see it, and gone before commit.
		hold:   in(`insert into {s}.records (tab, key, value, until) values ($1, $2, '', 1) on conflict do nothing`),
		unhold: in(`delete from {s}.records where tab = $1 and key = $2`),
		put: in(`insert into {s}.records (tab, key, value, until) values ($1, $2, $3, $4)
			on conflict (tab, key) do update set value = excluded.value, until = excluded.until`),
		remove: in(`delete from {s}.records where tab = $1 and key = $2`),
		scan: in(`select key, value, until from {s}.records where tab = $1 and key >= $2 and key < $3
			and (until = 0 or until > $4) order by key limit $5`),
		scanAll: in(`select key, value, until from {s}.records where tab = $1 and key >= $2
			and (until = 0 or until > $3) order by key limit $4`),

		// From one name to the next, not over all rows.
		tables: in(`with recursive t as ((select tab from {s}.records order by tab limit 1) union all
			select (select r.tab from {s}.records r where r.tab > t.tab order by r.tab limit 1) from t where t.tab is not null)
			select tab from t where tab is not null`),

		// A taker who lost the answer and asks again is known by owner.
		leaseTake: in(`insert into {s}.leases as l (name, fence, until, owner) values ($1, 1, $2, $3)
			on conflict (name) do update set fence = l.fence + 1, until = excluded.until, owner = excluded.owner
			where l.until <= $4 or l.owner = excluded.owner returning fence`),
		leaseLeft: in(`select until from {s}.leases where name = $1 and owner <> $2`),
		leaseKeep: in(`update {s}.leases set until = $3 where name = $1 and fence = $2 and until > $4`),
		leaseGive: in(`update {s}.leases set until = 0 where name = $1 and fence = $2`),
		leaseHeld: in(`select 1 from {s}.leases where name = $1 and fence = $2 and until > $3 for share`),

		sweep: in(`delete from {s}.records where (tab, key) in (select tab, key from {s}.records
			where until <> 0 and until <= $1 order by until limit $2 for update skip locked)`),
		metaSelect: in(`select version, oldest, role from {s}.meta`),
	}
}

// begin is sent as one message of several statements. The last takes the snapshot and the time, and asks whether a
// program of our age may still work here.
func (o Options) begin(mode string, pooled, lazy bool) []string {
	how := []string{"begin isolation level " + mode}
	if pooled { // the session is somebody else's a moment later
		how = append(how, fmt.Sprintf("set local statement_timeout = %d", o.Statement.Milliseconds()),
			fmt.Sprintf("set local idle_in_transaction_session_timeout = %d", idleLimit.Milliseconds()))
		if lazy {
			how = append(how, "set local synchronous_commit = on")
		}
	}
	return append(how, fmt.Sprintf("select %s, oldest from %s.meta", o.clock, quote(o.Schema)))
}

// session are the same settings where the session is ours.
func (o Options) session(params map[string]string, lazy bool) {
	params["statement_timeout"] = strconv.FormatInt(o.Statement.Milliseconds(), 10)
	params["idle_in_transaction_session_timeout"] = strconv.FormatInt(idleLimit.Milliseconds(), 10)
	if lazy {
		params["synchronous_commit"] = "on"
	}
}
