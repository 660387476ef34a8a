package sample

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
)

// words are what texts are made of, each ready to stand in a JSON string.
type words []string

// vocabulary has what real prompts trip programs with: quotes, line ends, markup, backslashes, several scripts and emoji.
const vocabulary = `the a of to and in is that for it with as on be this are by from at or an not your you we can have will
if has one all which their would there been when who more about so what up out into than them only some could time these two may
then do first any my now such like our over me even most made after also did many before must through back years where much way
well should because each just those people how too little state good very make world still own see men work long here get both
between life being under never same another know while last might us great old year off come since against go came right used
take three customer invoice ticket agent policy retrieve schema vector prompt context summary answer question document search
tool result message refund account order delivery address payment subscription renewal upgrade plan price discount contract
meeting calendar email attachment report table column row query index partition latency throughput error retry timeout token
model temperature embedding similarity ranking citation source paragraph section heading translation language français Zürich
café naïve Größe résumé São 東京 データ 検索 Привет запрос مرحبا 🚀 ✅ it's don't "quoted" <b>bold</b> R&D C:\temp\report.csv
https://docs.example.com/guide?id=42&lang=en 42 3.14 2026-11-23 1,250.00 € #1234 v2.1.0 yes. no. thanks. please. however,
therefore, finally, otherwise, example, step, {"status":"ok"} [1] (see below) user: assistant: system: review approve reject
escalate resolve close open draft publish deploy rollback measure compare explain describe list count extract classify route
validate normalize merge split filter sort group join weather river mountain train station airport hotel booking passenger luggage
warehouse shipment customs inventory supplier catalog warranty repair engineer hospital patient appointment prescription insurance
claim premium broker mortgage interest deposit balance transfer statement currency exchange portfolio dividend forecast budget`

// newWords is the vocabulary, quoted for JSON as many times over as JSON strings will be nested.
func newWords(depth int) words {
	list := strings.Fields(vocabulary)
	list = append(list, "\n", "\n\n", "- ", "\t")
	for i, word := range list {
		for range depth {
			word = quote(word)
		}
		list[i] = word
	}
	return list
}

// quote is what stands between the quotes of the JSON string for a text.
func quote(plain string) string {
	text, err := json.Marshal(plain)
	if err != nil {
		// A string always has a JSON text.
		panic(err)
	}
	return string(text[1 : len(text)-1])
}

// text is where the texts of spans are written, one after the other in large pieces of memory: what was written stays as it
// is while more is added, so that parts of it can be handed out as strings.
type text struct {
	piece   strings.Builder
	scratch [32]byte
}

const (
	pieceBytes = 1 << 20
	// roomBytes is more than the texts of one span take.
	roomBytes = 64 << 10
)

// begin returns where the next text begins.
func (t *text) begin() int {
	if t.piece.Cap()-t.piece.Len() < roomBytes {
		t.piece = strings.Builder{}
		t.piece.Grow(pieceBytes)
	}
	return t.piece.Len()
}

func (t *text) since(begin int) string { return t.piece.String()[begin:] }

func (t *text) add(parts ...string) {
	for _, part := range parts {
		t.piece.WriteString(part)
	}
}

func (t *text) int(n int64) { t.piece.Write(strconv.AppendInt(t.scratch[:0], n, 10)) }

// hex writes the 16 digits of an id.
func (t *text) hex(id uint64) {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		t.piece.WriteByte(digits[id>>shift&15])
	}
}

// prose writes words for about size bytes.
func (t *text) prose(rng *rand.Rand, from words, size int) {
	count := uint64(len(from))
	for end := t.piece.Len() + size; t.piece.Len() < end; {
		// One number of 64 bits chooses four words.
		for bits := rng.Uint64(); bits != 0; bits >>= 16 {
			t.piece.WriteString(from[(bits&0xffff)*count>>16])
			t.piece.WriteByte(' ')
		}
	}
}
