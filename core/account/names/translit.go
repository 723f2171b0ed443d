package names

import "strings"

// transliterate writes one lower-case character that is no letter or digit of ASCII in letters of ASCII, "_" for what
// it does not know: other scripts than Latin, Greek and Cyrillic, and everything that is no letter.
func transliterate(r rune) string {
	for i := range latin {
		if strings.ContainsRune(latin[i].from, r) {
			return latin[i].to
		}
	}
	return "_"
}

var latin = [...]struct{ from, to string }{
	{"!", "i"},
	{"$", "s"},
	{"*", "x"},
	{"@", "_at_"},
	{"€", "eur"},
	{"äæ", "ae"},
	{"öœ", "oe"},
	{"ü", "ue"},
	{"ß", "ss"},
	{"þ", "th"},
	{"ĳ", "ij"},
	{"ŉ", "n"},
	{"àáâãåāăąǎạảấầẩẫậắằẳẵặªа" + "αά", "a"},
	{"ḃб", "b"},
	{"çćĉċč", "c"},
	{"ďđðд" + "δ", "d"},
	{"èéêëēĕėęěẹẻẽếềểễệеэєёεέ", "e"},
	{"ḟф" + "φ", "f"},
	{"ĝğġģǧгґ" + "γ", "g"},
	{"ĥħ", "h"},
	{"ìíîïĩīĭįıǐịỉиіїй" + "ιίηήϊΐ", "i"},
	{"ĵ", "j"},
	{"ķĸǩк" + "κ", "k"},
	{"ĺļľŀłл" + "λ", "l"},
	{"ṁм" + "μµ", "m"},
	{"ñńņňŋн" + "ν", "n"},
	{"òóôõøōŏőǒọỏốồổỗộơớờởỡợºо" + "οόωώ", "o"},
	{"ṗп" + "π", "p"},
	{"ŕŗřр" + "ρ", "r"},
	{"śŝşšșṡſс" + "σς", "s"},
	{"ţťŧțṫт" + "τ", "t"},
	{"ùúûũūŭůűųǔụủưứừửữựу", "u"},
	{"в" + "β", "v"},
	{"ŵẁẃẅ", "w"},
	{"ξ", "x"},
	{"ýÿŷỳỵỷỹы" + "υύϋΰ", "y"},
	{"źżžз" + "ζ", "z"},
	{"ж", "zh"},
	{"х" + "χ", "kh"},
	{"ц", "ts"},
	{"ч", "ch"},
	{"ш", "sh"},
	{"щ", "shch"},
	{"ю", "iu"},
	{"я", "ia"},
	{"θ", "th"},
	{"ψ", "ps"},
	{"ъь", ""},
}
