// What the rounds of a block say beside its samples: how each cell ended, and the A/A control, one
// cell measured twice as if it were two.
//
// The two are items of their own in every round, with the same code and equal data but buffers of
// their own. That their ratio is not 1 is noise, or what the place in memory does: a difference
// between two cells of the block that is not larger than theirs is no finding.
//
// Every cell has its ratio to the control too, by rounds. Two cells are compared by these: drift
// cancels in each, also where one has more rounds than the other, which medians of times cannot
// say; and as the three share the control's noise, their quotient varies as the control's own does
// in as many rounds. So the limit of a cell is that of the control in the cell's rounds.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/block.h"
#include "harness/statistics.h"
#include "harness/stopping.h"

namespace tritbench {

// The cell that is measured twice, as a position in `cells`: of those with the most repetitions
// the one that takes least time, the first of equals. Throws Error when there are none.
size_t control_cell(std::span<const Cell* const> cells);

// For the rounds of a block that ends `after_s` seconds after them; the budget is what is left.
StoppingRules stopping_rules(const MeasureOptions& options, double after_s);

// Who is measured twice, as items of the rounds.
struct ControlItems {
    size_t item = 0, twin = 0;
    std::string label;  // of the cell
};

// How the repetitions of a cell ended, and how it stands to the control.
struct Ending {
    int repetitions = 0;
    EndReason reason = EndReason::Open;
    double confidence = kUsualConfidence;  // of the interval of the median
    std::optional<double> half_width;      // of it over the median
    std::string control;                   // its label; empty without one, and then the rest
    std::optional<double> control_ratio;   // time over that of the control, by rounds
    std::optional<Summary> twins;          // of the control to itself, in this cell's rounds
};
Ending ending_of(const Stopping& stopping, size_t item, const std::optional<ControlItems>& control);
// repetitions, stop_reason, ci95_pct, control, control_ratio, aa_*.
void set_ending(Row& row, const Ending& ending);

// "A/A control: differences below 1.2% are not claimed (...)", for under a table; "" without one.
std::string control_note(const std::vector<Row>& rows);

}  // namespace tritbench
