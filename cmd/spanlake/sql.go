package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/api"
	"github.com/spanlake/spanlake/internal/span"
	"github.com/spanlake/spanlake/internal/terminal"
)

// tableRows is how many rows of a query are shown as a table, which has to be held in memory to be aligned.
const tableRows = 1000

func newSQLCommand() *cobra.Command {
	var asCSV bool
	cmd := &cobra.Command{
		Use:   "sql QUERY",
		Short: "Ask the index in SQL",
		Long: "Sql runs one query that only reads. It sees the tables of the index (SHOW TABLES lists them, docs/formats/index.md\n" +
			"explains them) and may read files of the lake with read_parquet, and nothing else of the machine.\n" +
			"A query of - is read from standard input.",
		Example: "  spanlake sql \"SELECT name, count(*) FROM span_metadata WHERE is_root GROUP BY name\"\n" +
			"  spanlake sql --csv \"FROM daily_stats ORDER BY day\" > daily.csv",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("give one query, in quotes, not %s", count(int64(len(args)), "argument"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			query := args[0]
			if query == "-" {
				text, err := io.ReadAll(cmd.InOrStdin())
				if err != nil {
					return fmt.Errorf("read the query: %w", err)
				}
				query = string(text)
			}
			return reading(func(s *session, ctx context.Context, x api.Catalog) error {
				switch {
				case s.json:
					return s.selectJSON(ctx, x, query)
				case asCSV:
					return s.selectCSV(ctx, x, query)
				default:
					return s.selectTable(ctx, x, query)
				}
			})(cmd, nil)
		},
	}
	cmd.Flags().BoolVar(&asCSV, "csv", false, "print comma-separated values with a header")
	addJSONFlag(cmd, "print an array of objects")
	cmd.MarkFlagsMutuallyExclusive("csv", "json")
	return cmd
}

func (s *session) selectJSON(ctx context.Context, x api.Catalog, query string) error {
	out := &printer{w: s.stdout}
	separator := "["
	err := x.Select(ctx, query, span.FormJSON, func([]string) error { return nil }, func(row []*string) error {
		out.printf("%s%s", separator, text(row[0], "null"))
		separator = ",\n"
		return out.err
	})
	if err != nil {
		return err
	}
	if separator == "[" {
		out.printf("[")
	}
	out.printf("]\n")
	return out.err
}

func (s *session) selectCSV(ctx context.Context, x api.Catalog, query string) error {
	out := csv.NewWriter(s.stdout)
	var record []string
	err := x.Select(ctx, query, span.FormText, out.Write, func(row []*string) error {
		record = record[:0]
		for _, value := range row {
			record = append(record, text(value, ""))
		}
		return out.Write(record)
	})
	out.Flush()
	if err != nil {
		return err
	}
	return out.Error()
}

func (s *session) selectTable(ctx context.Context, x api.Catalog, query string) error {
	var header []string
	var rows [][]string
	more := int64(0)
	err := x.Select(ctx, query, span.FormText, func(columns []string) error {
		header = columns
		return nil
	}, func(row []*string) error {
		if len(rows) == tableRows {
			more++
			return nil
		}
		var cells []string
		for _, value := range row {
			cells = append(cells, text(value, "NULL"))
		}
		rows = append(rows, cells)
		return nil
	})
	if err != nil {
		return err
	}
	if err := terminal.Table(s.stdout, header, rows); err != nil {
		return err
	}
	if more > 0 {
		_, err = fmt.Fprintf(s.stderr, "... and %s: --csv or --json print all, LIMIT fewer\n", count(more, "more row"))
	}
	return err
}

// text is a value, or what stands for NULL.
func text(value *string, null string) string {
	if value == nil {
		return null
	}
	return *value
}
