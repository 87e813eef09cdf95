/* SPDX-License-Identifier: GPL-2.0 */
/* "burst COUNT HERTZ" written to a line's pull: so many rising edges, as fast. No program here toggles a line that often. */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/sched.h>

static ssize_t gpio_sim_burst(struct gpio_sim_chip *chip, unsigned int offset, const char *buf, size_t len)
{
	u64 begin_ns = ktime_get_ns();
	unsigned int count, hertz, i;
	int ret;

	if (sscanf(buf, "burst %u %u", &count, &hertz) != 2 || !hertz)
		return -EINVAL;
	for (i = 0; i < count; i++) {
		while (ktime_get_ns() < begin_ns + div_u64((u64)i * NSEC_PER_SEC, hertz))
			cond_resched();
		ret = gpio_sim_apply_pull(chip, offset, 0) ?: gpio_sim_apply_pull(chip, offset, 1);
		if (ret)
			return ret;
		/* The thread that numbers the edge: without its turn it takes two for one. */
		cond_resched();
	}
	return len;
}
