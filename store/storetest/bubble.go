package storetest

import (
	"testing"
	"testing/synctest"
)

func (f fact) run(t *testing.T, open opener) {
	if !f.bubble {
		f.test(start(t, open))
		return
	}
	synctest.Test(t, func(t *testing.T) { f.test(start(t, open)) })
}
