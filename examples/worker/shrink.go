package main

import (
	"image"
	"image/draw"
	"math"
)

// shrink makes a picture of w by h pixels, at most as many as it has, by a box filter: a pixel is the mean of the area
// that it covers, and pixels that lie across a border count on both sides by their share. The mean is taken of light, not
// of sRGB's codes, so that fine patterns keep their brightness, and of colour in proportion to its alpha.
func shrink(src image.Image, w, h int) *image.NRGBA {
	b := src.Bounds()
	row := image.NewRGBA(image.Rect(0, 0, b.Dx(), 1))
	line, sum := make([]light, w), make([]light, w)
	dst := image.NewNRGBA(image.Rect(0, 0, w, h))
	y := 0
	for sy := range b.Dy() {
		draw.Draw(row, row.Rect, src, image.Pt(b.Min.X, b.Min.Y+sy), draw.Src)
		average(line, row)
		// Heights in units of 1/h source rows: this row reaches from sy*h to (sy+1)*h, and y's area ends at (y+1)*b.Dy().
		for top, bottom := sy*h, (sy+1)*h; top < bottom; {
			end := min(bottom, (y+1)*b.Dy())
			share := float32(end-top) / float32(b.Dy())
			for x := range sum {
				sum[x].add(line[x], share)
			}
			if top = end; end == (y+1)*b.Dy() {
				for x := range sum {
					sum[x].write(dst.Pix[dst.PixOffset(x, y):])
				}
				clear(sum)
				y++
			}
		}
	}
	return dst
}

// average shrinks one row, as shrink does with rows.
func average(line []light, row *image.RGBA) {
	clear(line)
	x, n := 0, row.Rect.Dx()
	for sx := range n {
		pixel := lightOf(row.Pix[4*sx : 4*sx+4])
		for left, right := sx*len(line), (sx+1)*len(line); left < right; {
			end := min(right, (x+1)*n)
			line[x].add(pixel, float32(end-left)/float32(n))
			if left = end; end == (x+1)*n {
				x++
			}
		}
	}
}

// light is a colour in linear light, multiplied by its alpha, each from 0 to 1.
type light struct{ r, g, b, a float32 }

func (l *light) add(m light, share float32) {
	l.r += m.r * share
	l.g += m.g * share
	l.b += m.b * share
	l.a += m.a * share
}

// lightOf is the light of a pixel of an image.RGBA, whose sRGB codes are multiplied by alpha.
func lightOf(p []byte) light {
	if p[3] == 255 {
		return light{linear[p[0]], linear[p[1]], linear[p[2]], 1}
	}
	if p[3] == 0 {
		return light{}
	}
	a := float32(p[3]) / 255
	of := func(code byte) float32 { return a * linear[min(255, int(code)*255/int(p[3]))] }
	return light{of(p[0]), of(p[1]), of(p[2]), a}
}

// write stores l in a pixel of an image.NRGBA.
func (l *light) write(p []byte) {
	if l.a <= 0 {
		return
	}
	p[0], p[1], p[2], p[3] = code(l.r/l.a), code(l.g/l.a), code(l.b/l.a), uint8(min(1, l.a)*255+.5)
}

// linear is the light of each code of sRGB (IEC 61966-2-1).
var linear = func() (t [256]float32) {
	for i := range t {
		if c := float64(i) / 255; c <= 0.04045 {
			t[i] = float32(c / 12.92)
		} else {
			t[i] = float32(math.Pow((c+0.055)/1.055, 2.4))
		}
	}
	return t
}()

// code is the code of a light.
func code(l float32) uint8 {
	c := float64(min(1, l))
	if c <= 0.0031308 {
		c *= 12.92
	} else {
		c = 1.055*math.Pow(c, 1/2.4) - 0.055
	}
	return uint8(c*255 + .5)
}
