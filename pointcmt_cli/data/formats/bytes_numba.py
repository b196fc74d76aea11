"""Loops over the bytes of files, in numba: the tokenizer behind `text`, five times as fast as numpy, and LZF.

Tokenizer. In: bytes as uint8 (n,). Out: float64 numbers, each the double nearest to its decimal. What is not a plain
number of up to 19 digits and a moderate power of ten is left to the caller, with its place.

Sources of the conversion: Clinger, "How to read floating point numbers accurately" (1990), for digits and a power of
ten that are doubles themselves, where one multiplication or division rounds once; Lemire, "Number parsing at a gigabyte
per second" (2021), section 5, for the rest.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointcmt_cli.ops.compiling import compiled

Bytes = NDArray[np.uint8]
_MOST_DIGITS = 19
"""What uint64 holds."""
_EXACT = np.uint64(2**53)
"""Integers up to here are doubles."""
_POWERS = 10.0 ** np.arange(23)
"""Powers of ten that are doubles."""
_RANGE = 64
"""Largest power of ten, either way, in the table below: all results are normal doubles."""
_HALF = np.uint64(32)
_LOW_HALF = np.uint64(2**32 - 1)
_ONE = np.uint64(1)


def _powers_of_five() -> NDArray[np.uint64]:
    """(2 * _RANGE + 1, 2): the first 128 bits of 5^q, high and low half; for negative q rounded up."""
    rows = []
    for power in range(-_RANGE, _RANGE + 1):
        exact = 5 ** abs(power)
        if power < 0:
            length = (
                exact.bit_length() + 127
            )  # a power of five is no power of two: 128 bits for certain
            bits = 2**length // exact + 1
        else:
            bits = (exact << 128) >> exact.bit_length()
        rows.append([bits >> 64, bits & (2**64 - 1)])
    return np.array(rows, np.uint64)


_FIVES = _powers_of_five()


@compiled
def multiply(first: np.uint64, second: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The high and the low 64 bits of a product."""
    a, b = first >> _HALF, first & _LOW_HALF
    c, d = second >> _HALF, second & _LOW_HALF
    low = b * d
    middle = a * d + (low >> _HALF)
    other = b * c + (middle & _LOW_HALF)
    high = a * c + (middle >> _HALF) + (other >> _HALF)
    return high, first * second


@compiled
def nearest(digits: np.uint64, power: int) -> np.uint64:
    """The bits of the double nearest to digits * 10^power, digits > 0; 0 where 128 bits do not decide it."""
    shift = 0
    scaled = digits
    while scaled >> np.uint64(63) == 0:
        scaled <<= _ONE
        shift += 1
    high, low = multiply(scaled, _FIVES[power + _RANGE, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = multiply(scaled, _FIVES[power + _RANGE, 1])
        low += more
        high += np.uint64(low < more)
        if low == np.uint64(2**64 - 1):
            return np.uint64(0)
    top = high >> np.uint64(63)
    kept = high >> (top + np.uint64(9))  # 53 bits and one to round by
    # 10^q is 5^q * 2^q; the floor of q * log2(10) by a multiplication, exact in this range
    exponent = ((217706 * power) >> 16) + 63 + 1023 + int(top) - shift
    tie = low <= _ONE and -5 < power < 24 and kept & np.uint64(3) == _ONE
    if tie and kept << (top + np.uint64(9)) == high:
        kept -= _ONE  # halfway between two doubles: the even one
    kept = (kept + (kept & _ONE)) >> _ONE
    if kept == np.uint64(2**53):
        kept >>= _ONE
        exponent += 1
    return (np.uint64(exponent) << np.uint64(52)) | (kept & np.uint64(2**52 - 1))


@compiled
def is_space(byte: int) -> bool:
    """C's isspace."""
    return byte == 32 or 9 <= byte <= 13


@compiled
def count_tokens(text: Bytes) -> int:
    """How many runs of bytes without white space there are."""
    count = 0
    before = True
    for byte in text:
        space = is_space(byte)
        count += before and not space
        before = space
    return count


@compiled
def token_lines(text: Bytes, starts: NDArray[np.int64]) -> int:
    """Write the index of each line's first token to `starts`, then the number of tokens; also how many were written.

    Lines without tokens do not count.
    """
    tokens = lines = 0
    fresh = before = True
    for byte in text:
        space = is_space(byte)
        if before and not space:
            if fresh:
                starts[lines] = tokens
                lines += 1
                fresh = False
            tokens += 1
        if byte == 10:
            fresh = True
        before = space
    starts[lines] = tokens
    return lines + 1


@compiled
def tokenize(text: Bytes, values: NDArray[np.float64], odd: NDArray[np.int64]) -> int:
    """Fill `values` with the numbers of `text`; rows (index, begin, end) of `odd` are tokens that could not be read.

    Returns how many are odd, or -1 when `odd` is full. One long loop: cut into functions it takes three times as long.
    """
    patterns = values.view(np.uint64)
    end, place, count, odds = len(text), 0, 0, 0
    while True:
        while place < end and is_space(text[place]):
            place += 1
        if place == end:
            return odds
        begin = place
        negative = text[place] == 45
        if negative or text[place] == 43:
            place += 1
        mantissa = np.uint64(0)
        digits = exponent = seen = 0
        while place < end and 48 <= text[place] <= 57:
            mantissa = mantissa * np.uint64(10) + np.uint64(text[place] - 48)
            digits += int(mantissa > 0)
            seen += 1
            place += 1
        if place < end and text[place] == 46:
            place += 1
            while place < end and 48 <= text[place] <= 57:
                mantissa = mantissa * np.uint64(10) + np.uint64(text[place] - 48)
                digits += int(mantissa > 0)
                seen += 1
                exponent -= 1
                place += 1
        if seen > 0 and place < end and text[place] | 32 == 101:
            place += 1
            minus = place < end and text[place] == 45
            if place < end and (minus or text[place] == 43):
                place += 1
            power = seen = 0
            while place < end and 48 <= text[place] <= 57:
                power = min(power * 10 + (text[place] - 48), 9999)
                seen += 1
                place += 1
            exponent += -power if minus else power
        good = seen > 0 and digits <= _MOST_DIGITS and (place == end or is_space(text[place]))
        if good and mantissa == 0:
            values[count] = 0.0
        elif good and mantissa <= _EXACT and -23 < exponent < 23:
            value = float(mantissa)
            values[count] = (
                value / _POWERS[-exponent] if exponent < 0 else value * _POWERS[exponent]
            )
        else:
            patterns[count] = 0
            if good and -_RANGE <= exponent <= _RANGE:
                patterns[count] = nearest(mantissa, exponent)
            good = patterns[count] != 0
        if good and negative:
            values[count] = -values[count]
        if not good:
            while place < end and not is_space(text[place]):
                place += 1
            if odds == len(odd):
                return -1
            odd[odds, 0], odd[odds, 1], odd[odds, 2] = count, begin, place
            odds += 1
        count += 1


@compiled
def unpack_lzf(packed: Bytes, plain: Bytes) -> int:
    """LZF into `plain`: runs of literal bytes, and copies (length, distance) from what was written before.

    Returns how many bytes were written, at most as many as there is room; -1 where the data is damaged.
    """
    end, room, place, written = len(packed), len(plain), 0, 0
    while place < end and written < room:
        control: Any = np.int64(packed[place])  # uint8 would not take the shifts below
        place += 1
        if control < 32:
            length = min(control + 1, room - written)
            if place + length > end:
                return -1
            for _ in range(length):
                plain[written] = packed[place]
                written += 1
                place += 1
            continue
        length = control >> 5
        if length == 7 and place < end:
            length += np.int64(packed[place])
            place += 1
        if place >= end:
            return -1
        source = written - ((control & 31) << 8) - np.int64(packed[place]) - 1
        place += 1
        if source < 0:
            return -1
        for _ in range(min(length + 2, room - written)):  # may read what it has just written
            plain[written] = plain[source]
            written += 1
            source += 1
    return written
