package pages_test

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/browser"
)

// takePictures makes the pictures of docs/images:
//
//	go test ./core/mytoken/pages -run TestBrowser/pictures -args -shots "$PWD/docs/images"
func takePictures(t *testing.T, br *browser.Browser) {
	b := newBed(t)
	b.grant = true
	b.trees[0].Children[0].Token.Name = "sub-job 1"
	for _, p := range []struct {
		name, path string
		look       browser.Look
	}{
		{"front", "/", browser.Look{Width: 900, Height: 700}},
		{"consent", "/c/ordinary", browser.Look{Width: 900, Height: 1150}},
		{"consent-phone", "/c/ordinary", browser.Look{Dark: true, Width: 390, Height: 1150}},
		{"home", "/home", browser.Look{Width: 900, Height: 1000}},
		{"home-phone", "/home", browser.Look{Dark: true, Width: 390, Height: 1000}},
		{"create", "/create", browser.Look{Width: 900, Height: 1000}},
		{"settings", "/settings", browser.Look{Width: 900, Height: 1000}},
	} {
		tab := br.Open(t, p.look)
		tab.Cookie(b.url, "mytoken-session", sessionToken())
		tab.Goto(b.url + p.path)
		path := filepath.Join(*shots, fmt.Sprintf("mytoken-%s.png", p.name))
		tab.Shot(path, false)
		if err := shrink(path); err != nil {
			t.Fatal(err)
		}
	}
}

// shrink leaves a picture the colours that it has most of: pages have few.
func shrink(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	full, err := png.Decode(f)
	if err := errFirst(err, f.Close()); err != nil {
		return err
	}
	uses := map[color.RGBA]int{}
	box := full.Bounds()
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			uses[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(uses), func(a, b color.RGBA) int { return cmp.Compare(uses[b], uses[a]) })
	var few color.Palette
	for _, c := range most[:min(len(most), 32)] {
		few = append(few, c)
	}
	small := image.NewPaletted(box, few)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			small.Set(x, y, full.At(x, y))
		}
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	e := png.Encoder{CompressionLevel: png.BestCompression}
	return errFirst(e.Encode(out, small), out.Close())
}

func errFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
