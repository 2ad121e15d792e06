package tidings

import (
	"math"
	"strconv"
)

// cost is an amount of money. The zero value is none.
type cost struct {
	amount   float64
	currency string
}

func (c cost) none() bool {
	return c.currency == "" && c.amount == 0 || math.IsNaN(c.amount) || math.IsInf(c.amount, 0)
}

// add adds the cost to an event's data.
func (c cost) add(o object) object {
	if c.none() {
		return o
	}
	return c.value(o.key("cost"))
}

// value appends the cost as JSON: digits to a billionth, so that sums of
// decimal fractions look like such.
func (c cost) value(o object) object {
	rounded := math.Round(c.amount*1e9) / 1e9
	o = append(append(o, '{').key("amount"), strconv.FormatFloat(rounded, 'f', -1, 64)...)
	return append(o.text("currency", c.currency), '}')
}

// addCost adds c to the sum of its currency.
func addCost(sums []cost, c cost) []cost {
	if c.none() {
		return sums
	}
	for i := range sums {
		if sums[i].currency == c.currency {
			sums[i].amount += c.amount
			return sums
		}
	}
	return append(sums, c)
}

// addCosts adds the sums to an event's data: an object, or a list of them if
// there is more than one currency.
func addCosts(o object, sums []cost) object {
	if len(sums) < 2 {
		for _, c := range sums {
			o = c.add(o)
		}
		return o
	}
	o = append(o.key("cost"), '[')
	for i, c := range sums {
		if i > 0 {
			o = append(o, ',')
		}
		o = c.value(o)
	}
	return append(o, ']')
}
