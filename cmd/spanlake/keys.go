package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanlake/spanlake/internal/apikey"
)

func newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke the API keys of those who send spans or read them",
		Long: "Keys are what clients send as `authorization: Bearer KEY` or `x-junjo-api-key: KEY`. As soon as one exists that may send,\n" +
			"no span is taken without one; as soon as one exists that may read or operate, nothing is answered without one. Commands on\n" +
			"the machine of the server need none. A running server notices what is changed here within a second or two.",
		Example: "  spanlake keys create my-agent\n" +
			"  spanlake keys create grafana --may read\n" +
			"  spanlake keys revoke my-agent",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysCreateCommand(), newKeysListCommand(), newKeysRevokeCommand())
	for _, child := range cmd.Commands() {
		addIngestSettings(child.Flags(), "keys-file")
	}
	return cmd
}

// newKeysSession opens the keys.
func newKeysSession(cmd *cobra.Command) (*session, *apikey.Keys, error) {
	s, err := newSession(cmd)
	if err != nil {
		return nil, nil, err
	}
	keys, err := apikey.New(s.Config.KeysFile, apikey.Given{}, s.Log)
	return s, keys, err
}

func newKeysCreateCommand() *cobra.Command {
	var words string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a key and show it, once",
		Long: "Create makes a key and prints it. Only its hash is kept, so nobody can show it again. A key may send spans, read what there\n" +
			"is (and ask in SQL), or operate the server: flush, index, retry, which is to read as well.",
		Example: "  spanlake keys create my-agent\n" +
			"  spanlake keys create grafana --may read\n" +
			"  OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer $(spanlake keys create ci)\" ...",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := apikey.CheckName(args[0]); err != nil {
				return fmt.Errorf("%w: %w", err, helpError{cmd})
			}
			may, err := apikey.ParseRights(strings.Split(words, ","))
			if err != nil {
				return fmt.Errorf("--may: %w: %w", err, helpError{cmd})
			}
			s, keys, err := newKeysSession(cmd)
			if err != nil {
				return err
			}
			key, err := keys.Create(args[0], may)
			if err != nil {
				return err
			}
			if s.json {
				return writeJSON(s.stdout, struct {
					Name string   `json:"name"`
					Key  string   `json:"key"`
					May  []string `json:"may"`
				}{args[0], key, may.Words()})
			}
			if _, err := fmt.Fprintln(s.stdout, key); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.stderr, "This is the only time that the key %s is shown. Clients send it as `authorization: Bearer KEY`.\n", args[0])
			return err
		},
	}
	cmd.Flags().StringVar(&words, "may", "send", "what the key may do: send, read, operate, or several, separated by commas")
	addJSONFlag(cmd, "print one object")
	return cmd
}

func newKeysListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys by name",
		Example: "  spanlake keys list\n" +
			"  spanlake keys list --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, keys, err := newKeysSession(cmd)
			if err != nil {
				return err
			}
			infos, err := keys.List()
			if err != nil {
				return err
			}
			var rows [][]string
			for _, k := range infos {
				revoked := ""
				if k.RevokedAt != nil {
					revoked = k.RevokedAt.UTC().Format(time.RFC3339)
				}
				rows = append(rows, []string{k.Name, k.Prefix + "…", strings.Join(k.May, ", "), k.CreatedAt.UTC().Format(time.RFC3339), revoked})
			}
			return s.show(infos, []string{"NAME", "KEY", "MAY", "CREATED (UTC)", "REVOKED"}, rows, "There are no keys: make one with `spanlake keys create NAME`.")
		},
	}
	addJSONFlag(cmd, "print an array of objects")
	return cmd
}

func newKeysRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke NAME",
		Short:   "Let a key be refused from now on",
		Example: "  spanlake keys revoke my-agent",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, keys, err := newKeysSession(cmd)
			if err != nil {
				return err
			}
			if err := keys.Revoke(args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.stdout, "%s is revoked\n", args[0])
			return err
		},
	}
}
