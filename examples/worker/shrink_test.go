package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"
	"testing"
)

func TestShrink(t *testing.T) {
	white, black, clear := color.NRGBA{255, 255, 255, 255}, color.NRGBA{0, 0, 0, 255}, color.NRGBA{}
	green, red := color.NRGBA{0, 200, 0, 255}, color.NRGBA{250, 0, 0, 255}
	thin := color.NRGBA{100, 150, 200, 128}
	for _, c := range []struct {
		name string
		in   [][]color.NRGBA
		w, h int
		want color.NRGBA // of the pixel at 0, 0
	}{
		{"a pixel stays", [][]color.NRGBA{{green}}, 1, 1, green},
		{"nothing to shrink", [][]color.NRGBA{{green, red}, {white, black}}, 2, 2, green},
		{"half of the light, not of the code", [][]color.NRGBA{{white, black}, {black, white}}, 1, 1, color.NRGBA{188, 188, 188, 255}},
		{"two thirds across a border", [][]color.NRGBA{{white, black, black}}, 2, 1, color.NRGBA{213, 213, 213, 255}},
		{"two thirds downwards", [][]color.NRGBA{{white}, {black}, {black}}, 1, 2, color.NRGBA{213, 213, 213, 255}},
		{"what is transparent has no colour", [][]color.NRGBA{{clear, green}}, 1, 1, color.NRGBA{0, 200, 0, 128}},
		{"colour counts by its alpha", [][]color.NRGBA{{thin, thin}, {thin, thin}}, 1, 1, thin},
		{"all transparent", [][]color.NRGBA{{clear, clear}}, 1, 1, clear},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := image.NewNRGBA(image.Rect(7, -3, 7+len(c.in[0]), -3+len(c.in))) // bounds may begin anywhere
			for y, row := range c.in {
				for x, pixel := range row {
					in.SetNRGBA(7+x, -3+y, pixel)
				}
			}
			if got := shrink(in, c.w, c.h).NRGBAAt(0, 0); !near(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestShrinkIsTheMeanOfTheArea compares with the definition, computed pixel by pixel in float64, for pictures of all
// kinds that the decoders return.
func TestShrinkIsTheMeanOfTheArea(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]func(image.Rectangle) draw.Image{
		"RGBA":    func(r image.Rectangle) draw.Image { return image.NewRGBA(r) },
		"NRGBA":   func(r image.Rectangle) draw.Image { return image.NewNRGBA(r) },
		"NRGBA64": func(r image.Rectangle) draw.Image { return image.NewNRGBA64(r) },
		"Gray":    func(r image.Rectangle) draw.Image { return image.NewGray(r) },
		"Gray16":  func(r image.Rectangle) draw.Image { return image.NewGray16(r) },
		"CMYK":    func(r image.Rectangle) draw.Image { return image.NewCMYK(r) },
		"Paletted": func(r image.Rectangle) draw.Image {
			return image.NewPaletted(r, color.Palette{color.Black, color.White, color.NRGBA{200, 30, 90, 255}})
		},
	}
	for kind, make := range kinds {
		for range 10 {
			sw, sh := 1+random.IntN(24), 1+random.IntN(24)
			w, h := 1+random.IntN(sw), 1+random.IntN(sh)
			t.Run(fmt.Sprintf("%s, %dx%d to %dx%d", kind, sw, sh, w, h), func(t *testing.T) {
				in := make(image.Rect(0, 0, sw, sh))
				for y := range sh {
					for x := range sw {
						in.Set(x, y, color.NRGBA{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), 255})
					}
				}
				got := shrink(in, w, h)
				for y := range h {
					for x := range w {
						if want := mean(in, x, y, w, h); !near(got.NRGBAAt(x, y), want) {
							t.Fatalf("pixel %d, %d is %v, want %v", x, y, got.NRGBAAt(x, y), want)
						}
					}
				}
			})
		}
	}
}

// mean is what the pixel at x, y of an opaque picture of w by h must be.
func mean(in image.Image, x, y, w, h int) color.NRGBA {
	b := in.Bounds()
	overlap := func(i, n, j, m int) float64 { // of pixel i of n with the area of pixel j of m, in pixels of n
		scale := float64(n) / float64(m)
		return max(0, min(float64(i+1), float64(j+1)*scale)-max(float64(i), float64(j)*scale))
	}
	var sum [3]float64
	var area float64
	for sy := range b.Dy() {
		for sx := range b.Dx() {
			share := overlap(sx, b.Dx(), x, w) * overlap(sy, b.Dy(), y, h)
			if share == 0 {
				continue
			}
			r, g, b, _ := in.At(b.Min.X+sx, b.Min.Y+sy).RGBA()
			for i, v := range []uint32{r, g, b} {
				c := float64(v>>8) / 255
				if c <= 0.04045 {
					c /= 12.92
				} else {
					c = math.Pow((c+0.055)/1.055, 2.4)
				}
				sum[i] += share * c
			}
			area += share
		}
	}
	var out [3]uint8
	for i, s := range sum {
		c := s / area
		if c <= 0.0031308 {
			c *= 12.92
		} else {
			c = 1.055*math.Pow(c, 1/2.4) - 0.055
		}
		out[i] = uint8(math.Round(c * 255))
	}
	return color.NRGBA{out[0], out[1], out[2], 255}
}

// near allows for the rounding of one code.
func near(a, b color.NRGBA) bool {
	off := func(x, y uint8) bool { return max(x, y)-min(x, y) > 1 }
	return !off(a.R, b.R) && !off(a.G, b.G) && !off(a.B, b.B) && !off(a.A, b.A)
}

func TestFit(t *testing.T) {
	for _, c := range []struct{ w, h, square, wantW, wantH int }{
		{800, 600, 96, 96, 72},
		{600, 800, 96, 72, 96},
		{96, 96, 96, 96, 96},
		{10, 5, 96, 10, 5},
		{65535, 1, 48, 48, 1},
		{1, 65535, 48, 1, 48},
		{3, 2, 2, 2, 1},
	} {
		if w, h := fit(c.w, c.h, c.square); w != c.wantW || h != c.wantH {
			t.Errorf("%d by %d in a square of %d is %d by %d, want %d by %d", c.w, c.h, c.square, w, h, c.wantW, c.wantH)
		}
	}
}

func BenchmarkShrink(b *testing.B) {
	in := image.NewYCbCr(image.Rect(0, 0, 4000, 3000), image.YCbCrSubsampleRatio420)
	for b.Loop() {
		shrink(in, 320, 240)
	}
}
