package server

import "encoding/binary"

// Opcodes and bits of a frame's first two bytes (RFC 6455 section 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	bitFin  = 0x80
	bitRSV1 = 0x40 // the message is compressed (RFC 7692)
	bitMask = 0x80 // second byte
)

// maxHeader is the longest header of a frame that a server sends; it does not mask.
const maxHeader = 10

// appendHeader appends the header of an unmasked, final frame.
func appendHeader(b []byte, first byte, size int) []byte {
	b = append(b, bitFin|first)
	switch {
	case size <= 125:
		return append(b, byte(size))
	case size <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// dataOpcode is the opcode of a message.
func dataOpcode(binary bool) byte {
	if binary {
		return opBinary
	}
	return opText
}

// closeFrame encodes a close frame; [codeNoStatus] makes an empty one.
func closeFrame(code int, reason string) []byte {
	if code == codeNoStatus {
		return appendHeader(nil, opClose, 0)
	}
	b := appendHeader(make([]byte, 0, 4+len(reason)), opClose, 2+len(reason))
	return append(binary.BigEndian.AppendUint16(b, uint16(code)), reason...)
}
