package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	painted := paint(40, 30)
	for _, c := range []struct {
		name string
		file []byte
		want string // of the error; empty: decodes
	}{
		{"PNG", pngOf(t, painted), ""},
		{"JPEG", jpegOf(t, painted), ""},
		{"GIF", gifOf(t, painted), ""},
		{"no picture", []byte("dear diary"), "no PNG, JPEG or GIF"},
		{"nothing", nil, "no PNG, JPEG or GIF"},
		{"half a PNG", half(pngOf(t, painted)), "damaged"},
		{"half a JPEG", half(jpegOf(t, painted)), "damaged"},
		{"half a GIF", half(gifOf(t, painted)), "damaged"},
		{"the first bytes of a PNG", pngOf(t, painted)[:20], "damaged"},
		{"too many pixels", claim(t, 4001, 4000), "4001 by 4000 pixels; 16 million are the limit"},
		{"more than an int32 of pixels", claim(t, 1<<17, 1<<17), "16 million are the limit"},
		{"too long", claim(t, 65536, 1), "65535 on a side"},
		{"as many pixels as may be, but none there", claim(t, 4000, 4000), "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			img, err := decode(c.file)
			if c.want == "" {
				if err != nil || img.Bounds() != painted.Bounds() {
					t.Errorf("got %v, want a picture of %v", err, painted.Bounds())
				}
				return
			}
			var word unfit
			if !errors.As(err, &word) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a sentence with %q", err, c.want)
			}
		})
	}
}

// paint makes a picture of two colours.
func paint(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / w), uint8(255 * y / h), 120, 255})
		}
	}
	return img
}

func pngOf(t *testing.T, img image.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, img) })
}

func jpegOf(t *testing.T, img image.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, img, nil) })
}

func gifOf(t *testing.T, img image.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, img, nil) })
}

func encoded(t *testing.T, encode func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func half(file []byte) []byte { return file[:len(file)/2] }

// claim makes a PNG that says it is w by h and holds a pixel.
func claim(t *testing.T, w, h uint32) []byte {
	file := pngOf(t, paint(1, 1))
	header := file[12:29] // IHDR's type and content; its checksum follows
	binary.BigEndian.PutUint32(header[4:], w)
	binary.BigEndian.PutUint32(header[8:], h)
	binary.BigEndian.PutUint32(file[29:], crc32.ChecksumIEEE(header))
	return file
}
