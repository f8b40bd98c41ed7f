package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	"image/png"
)

// Bounds of what a picture is decoded into: a small file can claim any size, and the decoders need up to 15 bytes for each
// pixel.
const (
	maxPixels = 16_000_000
	maxSide   = 65_535 // that of a JPEG
)

// unfit is why a picture cannot be used: a sentence for whoever sent it.
type unfit string

func (u unfit) Error() string { return string(u) }

// decode decodes a file. Its errors are unfit. The orientation that cameras note beside a picture is not known to the
// standard library and not obeyed.
func decode(file []byte) (image.Image, error) {
	head, _, err := image.DecodeConfig(bytes.NewReader(file))
	switch {
	case errors.Is(err, image.ErrFormat):
		return nil, unfit("This is no PNG, JPEG or GIF.")
	case err != nil:
		return nil, damaged(err)
	case head.Width <= 0 || head.Height <= 0:
		return nil, unfit("This picture is empty.")
	case max(head.Width, head.Height) > maxSide, int64(head.Width)*int64(head.Height) > maxPixels:
		return nil, unfit(fmt.Sprintf("This picture has %d by %d pixels; %d million are the limit, and %d on a side.",
			head.Width, head.Height, maxPixels/1_000_000, maxSide))
	}
	img, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, damaged(err)
	}
	if img.Bounds().Empty() { // the first frame of a GIF may be
		return nil, unfit("This picture is empty.")
	}
	return img, nil
}

func damaged(err error) unfit { return unfit(fmt.Sprintf("This picture is damaged (%v).", err)) }

// shrinkTo makes the thumbnail that fits into a square.
func shrinkTo(size int, img image.Image) (*thumbnail, error) {
	w, h := fit(img.Bounds().Dx(), img.Bounds().Dy(), size)
	var file bytes.Buffer
	if err := png.Encode(&file, shrink(img, w, h)); err != nil {
		return nil, fmt.Errorf("worker: encode a thumbnail of %d by %d: %w", w, h, err)
	}
	return &thumbnail{Size: size, Width: w, Height: h, PNG: file.Bytes()}, nil
}

// fit is the size of a picture of w by h in a square, with its proportions and at least one pixel each way. Small pictures
// stay as they are.
func fit(w, h, square int) (int, int) {
	long := max(w, h)
	if long <= square {
		return w, h
	}
	scale := func(n int) int { return max(1, (n*square+long/2)/long) }
	return scale(w), scale(h)
}
