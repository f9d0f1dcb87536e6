// Command pgprobe talks to the PostgreSQL wire with the two drivers that Grafana uses: lib/pq up to 12.3, pgx since.
// It asks what Grafana asks, the way Grafana asks it, and prints one line of JSON.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/lib/pq"
)

const grouped = "SELECT floor(extract(epoch from time)/300)*300 AS \"time\", model AS metric, sum(cost_usd) AS usd, " +
	"bool_and(stream) AS flag, max(time) AS latest, NULL AS nothing FROM llm_calls " +
	"WHERE time BETWEEN '2026-03-03T11:00:00Z' AND '2026-03-03T13:00:00.123456789Z' GROUP BY 1, 2 ORDER BY 1"
const columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 " +
	"ORDER BY ordinal_position LIMIT 2"
const slow = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url := os.Args[2]
	said := map[string]any{}
	if os.Args[1] == "pq" {
		libpq(ctx, url, said)
	} else {
		withPgx(ctx, url, said)
	}
	must(json.NewEncoder(os.Stdout).Encode(said))
}

func libpq(ctx context.Context, url string, said map[string]any) {
	db, err := sql.Open("postgres", url)
	must(err)
	defer db.Close()
	must(db.PingContext(ctx))
	rows, err := db.QueryContext(ctx, grouped)
	must(err)
	said["grouped"] = scan(rows)
	rows, err = db.QueryContext(ctx, columns, "public", "llm_calls")
	must(err)
	said["columns"] = scan(rows)
	_, err = db.QueryContext(ctx, "SELECT * FROM nowhere")
	said["error"] = fmt.Sprint(err)
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	_, err = db.QueryContext(short, slow)
	said["cancelled"] = err != nil
	must(db.PingContext(ctx))
}

func scan(rows *sql.Rows) [][]any {
	defer rows.Close()
	names, err := rows.Columns()
	must(err)
	var found [][]any
	for rows.Next() {
		row := make([]any, len(names))
		places := make([]any, len(names))
		for at := range row {
			places[at] = &row[at]
		}
		must(rows.Scan(places...))
		for at, value := range row {
			if text, ok := value.([]byte); ok {
				row[at] = string(text)
			}
		}
		found = append(found, row)
	}
	must(rows.Err())
	return found
}

func withPgx(ctx context.Context, url string, said map[string]any) {
	pool, err := pgxpool.New(ctx, url)
	must(err)
	defer pool.Close()
	must(pool.Ping(ctx))
	connection, err := pool.Acquire(ctx)
	must(err)
	// Grafana sends panels as simple queries through the connection below pgx.
	results, err := connection.Conn().PgConn().Exec(ctx, grouped).ReadAll()
	must(err)
	var texts [][]string
	for _, row := range results[0].Rows {
		var cells []string
		for _, cell := range row {
			cells = append(cells, string(cell))
		}
		texts = append(texts, cells)
	}
	said["grouped"] = texts
	said["tag"] = results[0].CommandTag.String()
	for _, field := range results[0].FieldDescriptions {
		if _, known := connection.Conn().TypeMap().TypeForOID(field.DataTypeOID); !known {
			must(fmt.Errorf("unknown data type oid %d of %s", field.DataTypeOID, field.Name))
		}
	}
	connection.Release()
	// And asks for the schema with prepared statements and binary results.
	rows, err := pool.Query(ctx, columns, "public", "llm_calls")
	must(err)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	must(err)
	said["columns"] = found
	var number int
	var money string
	must(pool.QueryRow(ctx, "SELECT $1::int + 1, sum(cost_usd)::text FROM llm_calls WHERE tenant_id = $2 AND time > $3::timestamptz",
		41, "acme", time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)).Scan(&number, &money))
	said["bound"] = []any{number, money}
	_, err = pool.Exec(ctx, "SELECT * FROM nowhere")
	said["error"] = fmt.Sprint(err)
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	_, err = pool.Exec(short, slow)
	said["cancelled"] = err != nil
	must(pool.Ping(ctx))
}
