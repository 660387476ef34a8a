package api

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the page and its style are parts of the program
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/spanlake/spanlake/internal/api/wire"
)

var (
	//go:embed docs.html
	docsPage string
	//go:embed docs.css
	docsStyle string
)

// docs shows the description of the API as a page. It has no script and asks for nothing else, so that it works without the internet
// and nothing in it can do harm: its style is the only thing that the browser may take, by its hash.
func (s *Server) docs(w http.ResponseWriter, r *http.Request) {
	page, err := template.New("docs").Parse(docsPage)
	if err == nil {
		hash := sha256.Sum256([]byte(docsStyle))
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err = page.Execute(w, s.documentation(r))
	}
	if err != nil {
		s.log.Debug("the documentation could not be sent", "error", err)
	}
}

// What the page shows.
type (
	documentation struct {
		Title, Version string
		Description    []text
		Style          template.CSS
		Groups         []operationGroup
	}
	operationGroup struct {
		Name       string
		Operations []documentedOperation
	}
	documentedOperation struct {
		ID, Method, Path, Summary string
		Description               []text
		Curl                      string
		Parameters                []documentedField
		Body                      []documentedField
		Responses                 []documentedResponse
	}
	// documentedField is a parameter, or a field of an object.
	documentedField struct {
		Name, In, Type, Example string
		Required                bool
		Description             []text
		Fields                  []documentedField
	}
	documentedResponse struct {
		Status      string
		Description []text
		Contents    []documentedContent
	}
	documentedContent struct {
		Media, Type, Example string
		Fields               []documentedField
	}
	// text is a part of a description.
	text struct {
		Text string
		Code bool
	}
)

// textOf splits a description at its backticks.
func textOf(description string) (parts []text) {
	for i, part := range strings.Split(description, "`") {
		if part != "" {
			parts = append(parts, text{part, i%2 == 1})
		}
	}
	return parts
}

func (s *Server) documentation(r *http.Request) documentation {
	d := documenter{schemas: s.described.Components.Schemas, base: "http://" + r.Host}
	if r.TLS != nil {
		d.base = "https://" + r.Host
	}
	out := documentation{
		Title: s.described.Info.Title, Version: s.described.Info.Version, Description: textOf(s.described.Info.Description),
		// It is the constant text of which the header has the hash.
		Style: template.CSS(docsStyle), // #nosec G203
	}
	groups := make(map[string][]documentedOperation)
	for _, path := range slices.Sorted(maps.Keys(s.described.Paths)) {
		item := s.described.Paths[path]
		for _, o := range []*huma.Operation{item.Get, item.Post} {
			if o != nil {
				group := "Server"
				if len(o.Tags) > 0 {
					group = o.Tags[0]
				}
				groups[group] = append(groups[group], d.operation(o))
			}
		}
	}
	order := []string{"Traces", "Observability"}
	for _, name := range slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		place := func(name string) int { return (slices.Index(order, name) + len(order) + 1) % (len(order) + 1) }
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a, b))
	}) {
		out.Groups = append(out.Groups, operationGroup{name, groups[name]})
	}
	return out
}

// documenter makes the page of the description.
type documenter struct {
	schemas huma.Registry
	base    string
}

func (d *documenter) operation(o *huma.Operation) documentedOperation {
	out := documentedOperation{ID: o.OperationID, Method: o.Method, Path: o.Path, Summary: o.Summary, Description: textOf(o.Description), Curl: d.curl(o)}
	for _, p := range o.Parameters {
		field := d.field(p.Name, p.Schema, 0)
		field.In, field.Required = p.In, p.Required
		out.Parameters = append(out.Parameters, field)
	}
	if o.RequestBody != nil {
		for _, content := range o.RequestBody.Content {
			out.Body = d.fields(content.Schema, 0)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		response := documentedResponse{Status: status, Description: textOf(o.Responses[status].Description)}
		for _, media := range slices.Sorted(maps.Keys(o.Responses[status].Content)) {
			content := o.Responses[status].Content[media]
			response.Contents = append(response.Contents, documentedContent{Media: media, Type: d.typeOf(content.Schema), Example: exampleText(content.Example),
				Fields: d.fields(content.Schema, 0)})
		}
		out.Responses = append(out.Responses, response)
	}
	return out
}

// curl is a command that asks, with the examples of what must be given and of the first filter.
func (d *documenter) curl(o *huma.Operation) string {
	path, query := o.Path, ""
	for _, p := range o.Parameters {
		example := exampleOf(p.Schema)
		switch {
		case example == "":
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(example))
		case p.In == "query" && query == "" && p.Name == wire.ParamService:
			query = "?" + url.Values{p.Name: {example}}.Encode()
		}
	}
	command := "curl -s '" + d.base + path + query + "'"
	if o.Method != http.MethodPost {
		return command
	}
	body := "{}"
	if o.RequestBody == nil {
		return command + " -X POST"
	}
	for _, content := range o.RequestBody.Content {
		body = cmp.Or(strings.Join(strings.Fields(exampleText(content.Example)), " "), body)
	}
	return command + " -H 'Content-Type: application/json' -d '" + body + "'"
}

// maxNesting is how deep fields are shown.
const maxNesting = 4

func (d *documenter) resolve(schema *huma.Schema) *huma.Schema {
	if schema != nil && schema.Ref != "" {
		return d.schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}

// fields are those of an object, or of the objects in an array.
func (d *documenter) fields(schema *huma.Schema, depth int) (fields []documentedField) {
	schema = d.resolve(schema)
	for depth < maxNesting && schema != nil && schema.Type == huma.TypeArray {
		schema = d.resolve(schema.Items)
	}
	if schema == nil || depth >= maxNesting {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		fields = append(fields, d.field(name, schema.Properties[name], depth+1))
	}
	return fields
}

func (d *documenter) field(name string, schema *huma.Schema, depth int) documentedField {
	out := documentedField{Name: name, Type: d.typeOf(schema), Example: exampleOf(schema), Fields: d.fields(schema, depth)}
	if resolved := d.resolve(schema); resolved != nil {
		out.Description = textOf(resolved.Description)
	}
	return out
}

// typeOf is a type in words.
func (d *documenter) typeOf(schema *huma.Schema) string {
	schema = d.resolve(schema)
	if schema == nil {
		return ""
	}
	words := []string{schema.Type}
	if schema.Type == huma.TypeArray {
		words = []string{"array of " + d.typeOf(schema.Items)}
	}
	if schema.Format != "" {
		words = append(words, schema.Format)
	}
	if schema.Nullable {
		words = append(words, "or null")
	}
	if len(schema.Enum) > 0 {
		words = append(words, "one of "+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(schema.Enum)), ", "), "[]"))
	}
	if schema.Minimum != nil && schema.Maximum != nil {
		words = append(words, fmt.Sprintf("from %v to %v", *schema.Minimum, *schema.Maximum))
	}
	if schema.Default != nil {
		words = append(words, fmt.Sprintf("by default %v", schema.Default))
	}
	return strings.Join(words, ", ")
}

func exampleOf(schema *huma.Schema) string {
	if schema == nil || len(schema.Examples) == 0 {
		return ""
	}
	return strings.Trim(fmt.Sprint(schema.Examples[0]), "[]") // an array has one element
}

// exampleText is an example as it is sent, for people.
func exampleText(example any) string {
	if example == nil {
		return ""
	}
	if text, ok := example.(string); ok {
		return text
	}
	text, err := json.MarshalIndent(example, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}
