package otlpwire

import "google.golang.org/protobuf/encoding/protowire"

// messageType is one of the messages of which a trace request consists.
type messageType uint8

const (
	messageRequest messageType = iota
	messageResourceSpans
	messageResource
	messageEntityRef
	messageScopeSpans
	messageScope
	messageSpan
	messageStatus
	messageEvent
	messageLink
	messageKeyValue
	messageAnyValue
	messageArray
	messageKeyValueList
	messageTypes
)

// String is the name in OTLP.
func (m messageType) String() string {
	switch m {
	case messageRequest:
		return "ExportTraceServiceRequest"
	case messageResourceSpans:
		return "ResourceSpans"
	case messageResource:
		return "Resource"
	case messageEntityRef:
		return "EntityRef"
	case messageScopeSpans:
		return "ScopeSpans"
	case messageScope:
		return "InstrumentationScope"
	case messageSpan:
		return "Span"
	case messageStatus:
		return "Status"
	case messageEvent:
		return "Span.Event"
	case messageLink:
		return "Span.Link"
	case messageKeyValue:
		return "KeyValue"
	case messageAnyValue:
		return "AnyValue"
	case messageArray:
		return "ArrayValue"
	case messageKeyValueList:
		return "KeyValueList"
	}
	return "unknown message"
}

// shared messages are stored with each of the spans that share them.
func (m messageType) shared() bool { return m == messageResource || m == messageScope }

// fieldKind says what to do with a field.
type fieldKind uint8

const (
	// kindUnknown fields are skipped and kept.
	kindUnknown fieldKind = iota
	// kindPlain fields are numbers.
	kindPlain
	// kindText fields are UTF-8.
	kindText
	// kindURL fields are the URLs of schemas, UTF-8 too.
	kindURL
	// kindBytes fields are bytes of any length.
	kindBytes
	// kindID fields are the ids of a span, without which it cannot be kept, kindOtherID fields ids that may be missing.
	kindID
	kindOtherID
	// kindMessage fields are messages, once at most.
	kindMessage
	// The repeated fields.
	kindTexts
	kindMessages
	kindAttributes
	kindEvents
	kindLinks
	kindSpans
	// kindElements are the parts of an array or a map.
	kindElements
	// kindDropped fields count what the sender has dropped of another field.
	kindDropped
)

// repeated fields may occur any number of times.
func (k fieldKind) repeated() bool { return kindTexts <= k && k <= kindElements }

// Field numbers of the messages that are read outside of the schema.
const (
	requestResourceSpans = 1

	resourceSpansResource   = 1
	resourceSpansScopeSpans = 2
	resourceSpansSchemaURL  = 3

	scopeSpansScope     = 1
	scopeSpansSpans     = 2
	scopeSpansSchemaURL = 3

	resourceAttributes = 1
	resourceDropped    = 2

	scopeName       = 1
	scopeVersion    = 2
	scopeAttributes = 3
	scopeDropped    = 4

	spanTraceID           = 1
	spanSpanID            = 2
	spanTraceState        = 3
	spanParentSpanID      = 4
	spanName              = 5
	spanKind              = 6
	spanStart             = 7
	spanEnd               = 8
	spanAttributes        = 9
	spanDroppedAttributes = 10
	spanEvents            = 11
	spanDroppedEvents     = 12
	spanLinks             = 13
	spanDroppedLinks      = 14
	spanStatus            = 15
	spanFlags             = 16

	statusMessage = 2
	statusCode    = 3

	eventTime       = 1
	eventName       = 2
	eventAttributes = 3
	eventDropped    = 4

	linkTraceID    = 1
	linkSpanID     = 2
	linkTraceState = 3
	linkAttributes = 4
	linkDropped    = 5
	linkFlags      = 6

	keyValueKey   = 1
	keyValueValue = 2

	valueString = 1
	valueBool   = 2
	valueInt    = 3
	valueDouble = 4
	valueArray  = 5
	valueMap    = 6
	valueBytes  = 7

	elements = 1

	// maxField is the largest number of a known field.
	maxField = 16
)

// The tags that nearly all attributes have: field number and wire type.
const (
	keyTag    = keyValueKey<<3 | byte(protowire.BytesType)
	valueTag  = keyValueValue<<3 | byte(protowire.BytesType)
	stringTag = valueString<<3 | byte(protowire.BytesType)
	boolTag   = valueBool<<3 | byte(protowire.VarintType)
	intTag    = valueInt<<3 | byte(protowire.VarintType)
	doubleTag = valueDouble<<3 | byte(protowire.Fixed64Type)
)

// fieldType is what is known of a field.
type fieldType struct {
	kind fieldKind
	wire protowire.Type
	// message is the type of a message field.
	message messageType
	// of is the kind of field whose losses a kindDropped field counts.
	of fieldKind
	// size is that of an id in bytes.
	size uint8
}

// schemaTable has the fields of each message by number.
type schemaTable [messageTypes][maxField + 1]fieldType

// schema is the encoding of trace requests as of OTLP 1.11.
func schema() schemaTable {
	var (
		text         = fieldType{kind: kindText, wire: protowire.BytesType}
		url          = fieldType{kind: kindURL, wire: protowire.BytesType}
		texts        = fieldType{kind: kindTexts, wire: protowire.BytesType}
		traceID      = fieldType{kind: kindID, wire: protowire.BytesType, size: 16}
		spanID       = fieldType{kind: kindID, wire: protowire.BytesType, size: 8}
		otherTraceID = fieldType{kind: kindOtherID, wire: protowire.BytesType, size: 16}
		otherSpanID  = fieldType{kind: kindOtherID, wire: protowire.BytesType, size: 8}
		varint       = fieldType{kind: kindPlain, wire: protowire.VarintType}
		fixed32      = fieldType{kind: kindPlain, wire: protowire.Fixed32Type}
		fixed64      = fieldType{kind: kindPlain, wire: protowire.Fixed64Type}
		keyValue     = fieldType{kind: kindAttributes, wire: protowire.BytesType, message: messageKeyValue}
	)
	message := func(kind fieldKind, m messageType) fieldType {
		return fieldType{kind: kind, wire: protowire.BytesType, message: m}
	}
	dropped := func(of fieldKind) fieldType { return fieldType{kind: kindDropped, wire: protowire.VarintType, of: of} }
	return schemaTable{
		messageRequest: {requestResourceSpans: message(kindMessages, messageResourceSpans)},
		messageResourceSpans: {
			resourceSpansResource:   message(kindMessage, messageResource),
			resourceSpansScopeSpans: message(kindMessages, messageScopeSpans),
			resourceSpansSchemaURL:  url,
		},
		messageResource: {
			resourceAttributes: keyValue, resourceDropped: dropped(kindAttributes),
			3: message(kindMessages, messageEntityRef),
		},
		messageEntityRef: {1: text, 2: text, 3: texts, 4: texts},
		messageScopeSpans: {
			scopeSpansScope:     message(kindMessage, messageScope),
			scopeSpansSpans:     message(kindSpans, messageSpan),
			scopeSpansSchemaURL: url,
		},
		messageScope: {
			scopeName: text, scopeVersion: text, scopeAttributes: keyValue, scopeDropped: dropped(kindAttributes),
		},
		messageSpan: {
			spanTraceID: traceID, spanSpanID: spanID, spanTraceState: text, spanParentSpanID: otherSpanID, spanName: text, spanKind: varint,
			spanStart: fixed64, spanEnd: fixed64, spanAttributes: keyValue, spanDroppedAttributes: dropped(kindAttributes),
			spanEvents: message(kindEvents, messageEvent), spanDroppedEvents: dropped(kindEvents),
			spanLinks: message(kindLinks, messageLink), spanDroppedLinks: dropped(kindLinks),
			spanStatus: message(kindMessage, messageStatus), spanFlags: fixed32,
		},
		messageStatus: {statusMessage: text, statusCode: varint},
		messageEvent:  {eventTime: fixed64, eventName: text, eventAttributes: keyValue, eventDropped: dropped(kindAttributes)},
		messageLink: {
			linkTraceID: otherTraceID, linkSpanID: otherSpanID, linkTraceState: text, linkAttributes: keyValue,
			linkDropped: dropped(kindAttributes), linkFlags: fixed32,
		},
		// The third field is an index into a table of strings that only profiles have.
		messageKeyValue: {keyValueKey: text, keyValueValue: message(kindMessage, messageAnyValue), 3: varint},
		// The fields of a value are one oneof: the last one holds.
		messageAnyValue: {
			valueString: text, valueBool: varint, valueInt: varint, valueDouble: fixed64,
			valueArray: message(kindMessage, messageArray), valueMap: message(kindMessage, messageKeyValueList),
			valueBytes: {kind: kindBytes, wire: protowire.BytesType}, 8: varint,
		},
		messageArray:        {elements: message(kindElements, messageAnyValue)},
		messageKeyValueList: {elements: message(kindElements, messageKeyValue)},
	}
}
