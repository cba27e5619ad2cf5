package main

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

var scale = [...]int64{1_000_000, 100_000, 10_000, 1000, 100, 10, 1}

// micros reads decimal text as integer micros, exactly, or not at all: 2.50 is 2500000.
func micros(text string) (int64, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(whole) > 0 && len(whole) <= 12 && len(fraction) <= 6 && digits(whole) && digits(fraction) {
		amount, _ := strconv.ParseInt(whole, 10, 64) // twelve digits and six decimals fit into 64 bits
		rest := int64(0)
		if fraction != "" {
			rest, _ = strconv.ParseInt(fraction, 10, 64)
		}
		return amount*1_000_000 + rest*scale[len(fraction)], true
	}
	return longMicros(text)
}

func digits(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// JavaScript and Python write small numbers as 1e-05.
var decimal = regexp.MustCompile(`^([0-9]{0,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,2}))?$`)

func longMicros(text string) (int64, bool) {
	parts := decimal.FindStringSubmatch(text)
	if parts == nil || parts[1]+parts[2] == "" {
		return 0, false
	}
	amount, _ := new(big.Int).SetString(parts[1]+parts[2], 10)
	power, _ := strconv.Atoi(strings.TrimPrefix(parts[3], "+"))
	power += 6 - len(parts[2])
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(power, -power))), nil)
	if power >= 0 {
		amount.Mul(amount, ten)
	} else {
		rest := new(big.Int)
		if amount.DivMod(amount, ten, rest); rest.Sign() != 0 {
			return 0, false
		}
	}
	return amount.Int64(), amount.IsInt64()
}
