package payload

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"
)

// The bytes of the msgpack format that are more than a value in themselves
// (https://github.com/msgpack/msgpack/blob/master/spec.md).
const (
	fixMap, fixArray, fixStr               = 0x80, 0x90, 0xa0
	codeNil, codeFalse, codeTrue           = 0xc0, 0xc2, 0xc3
	bin8, bin16, bin32                     = 0xc4, 0xc5, 0xc6
	float32Code, float64Code               = 0xca, 0xcb
	uint8Code, uint16Code                  = 0xcc, 0xcd
	uint32Code, uint64Code                 = 0xce, 0xcf
	int8Code, int16Code                    = 0xd0, 0xd1
	int32Code, int64Code                   = 0xd2, 0xd3
	str8, str16, str32                     = 0xd9, 0xda, 0xdb
	array16, array32, map16, map32         = 0xdc, 0xdd, 0xde, 0xdf
	negativeFixInt                         = 0xe0
	maxFixMap, maxFixStr, maxUint8         = 15, 31, math.MaxUint8
	minFixInt, maxFixInt, maxUint16        = -32, 127, math.MaxUint16
	maxUint32, maxInt64AsUint       uint64 = math.MaxUint32, math.MaxInt64
)

func appendMap(b []byte, n int) []byte {
	switch {
	case n <= maxFixMap:
		return append(b, fixMap|byte(n))
	case n <= maxUint16:
		return binary.BigEndian.AppendUint16(append(b, map16), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, map32), uint32(n))
	}
}

func appendArray(b []byte, n int) []byte {
	switch {
	case n <= maxFixMap:
		return append(b, fixArray|byte(n))
	case n <= maxUint16:
		return binary.BigEndian.AppendUint16(append(b, array16), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, array32), uint32(n))
	}
}

func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	switch n := len(s); {
	case n <= maxFixStr:
		b = append(b, fixStr|byte(n))
	case n <= maxUint8:
		b = append(b, str8, byte(n))
	case n <= maxUint16:
		b = binary.BigEndian.AppendUint16(append(b, str16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, str32), uint32(n))
	}
	return append(b, s...)
}

func appendBytes(b, v []byte) []byte {
	switch n := len(v); {
	case n <= maxUint8:
		b = append(b, bin8, byte(n))
	case n <= maxUint16:
		b = binary.BigEndian.AppendUint16(append(b, bin16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, bin32), uint32(n))
	}
	return append(b, v...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, codeTrue)
	}
	return append(b, codeFalse)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, float64Code), math.Float64bits(v))
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v <= maxFixInt:
		return append(b, byte(v))
	case v <= maxUint8:
		return append(b, uint8Code, byte(v))
	case v <= maxUint16:
		return binary.BigEndian.AppendUint16(append(b, uint16Code), uint16(v))
	case v <= maxUint32:
		return binary.BigEndian.AppendUint32(append(b, uint32Code), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, uint64Code), v)
	}
}

func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(b, uint64(v))
	case v >= minFixInt:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, int8Code, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, int16Code), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, int32Code), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, int64Code), uint64(v))
	}
}
