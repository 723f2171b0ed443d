package importconfig

import "path/filepath"

// Places are where the old programs looked for their files, in their order; the first that exists counts. home and dir,
// the working directory, may be "".
func Places(getenv func(string) string, home, dir string) (cue, adapter []string) {
	add := func(list *[]string, base string, parts ...string) {
		if base != "" {
			*list = append(*list, filepath.Join(append([]string{base}, parts...)...))
		}
	}
	add(&cue, getenv("MOTLEY_CUE_CONFIG"))
	add(&cue, dir, "motley_cue.conf")
	add(&cue, home, ".config", "motley_cue", "motley_cue.conf")
	add(&adapter, getenv("FEUDAL_ADAPTER_CONFIG"))
	add(&adapter, getenv("LDF_ADAPTER_CONFIG"))
	for _, name := range []string{"feudal_adapter.conf", "ldf_adapter.conf"} {
		add(&adapter, dir, name)
		add(&adapter, home, ".config", name)
		add(&adapter, home, ".config", "feudal", name)
		add(&adapter, "/etc/feudal", name)
	}
	for _, etc := range []string{"/etc/motley-cue", "/etc/motley_cue"} {
		add(&cue, etc, "motley_cue.conf")
		for _, name := range []string{"feudal_adapter.conf", "feudal.conf", "ldf_adapter.conf"} {
			add(&adapter, etc, name)
		}
	}
	return cue, adapter
}
