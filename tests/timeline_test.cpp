// The accounting of the timeline, with a clock that is set by hand, and a model's own roles.
#include "harness/timeline.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/model_fixture.h"

namespace tritbench {
namespace {

int64_t fake_now = 0;
int64_t fake_clock() {
    return fake_now;
}

class TimelineTest : public testing::Test {
  protected:
    void SetUp() override { fake_now = 1000; }
    // A role that lasts so long.
    void role(Role r, int64_t ns) {
        o.begin(o.context, r);
        fake_now += ns;
        o.end(o.context, r);
    }
    std::string problem() const {
        try {
            timeline.median_sample();
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    }
    Timeline timeline{fake_clock};
    Observer o = timeline.observer();
};

TEST_F(TimelineTest, RolesAndWhatTheyLeaveAddUpToTheSample) {
    timeline.begin_sample();
    role(Role::Embed, 7);
    role(Role::Norm, 11);
    role(Role::Prepare, 20);
    role(Role::Product, 300);
    fake_now += 5;  // in no role
    role(Role::Attention, 40);
    role(Role::Product, 100);
    role(Role::Activation, 13);
    role(Role::Other, 17);
    role(Role::Head, 60);
    timeline.end_sample();
    const RoleTimes times = timeline.median_sample();
    EXPECT_EQ(times.prepare, 20);
    EXPECT_EQ(times.product, 400);
    EXPECT_EQ(times.attention, 40);
    EXPECT_EQ(times.head, 60);
    EXPECT_EQ(times.other, 7 + 11 + 5 + 13 + 17);
    EXPECT_EQ(times.total(), static_cast<double>(fake_now - 1000));
    EXPECT_DOUBLE_EQ(times.outside_products(), (20.0 + 40 + 53) / 573);
    EXPECT_EQ(timeline.median_sample(4).product, 100);
}

TEST_F(TimelineTest, TheSampleOfMedianTimeCounts) {
    for (const int64_t ns : {500, 100, 90000, 300, 200}) {
        timeline.begin_sample();
        role(Role::Product, ns);
        fake_now += 1;
        timeline.end_sample();
    }
    EXPECT_EQ(timeline.median_sample().product, 300);
    EXPECT_EQ(timeline.median_sample().other, 1);
}

TEST_F(TimelineTest, ARoleWithinAnotherIsAnError) {
    timeline.begin_sample();
    o.begin(o.context, Role::Attention);
    role(Role::Product, 10);
    o.end(o.context, Role::Attention);
    timeline.end_sample();
    EXPECT_EQ(problem(), "timeline: role product began within role attention");
}

TEST_F(TimelineTest, RolesThatOverlapAreAnError) {
    timeline.begin_sample();
    o.begin(o.context, Role::Norm);
    o.end(o.context, Role::Head);
    timeline.end_sample();
    EXPECT_EQ(problem(), "timeline: role head ended while norm ran");
}

TEST_F(TimelineTest, RolesBeyondASampleAreAnError) {
    EXPECT_EQ(problem(), "timeline: no sample; expected at least one");
    timeline.begin_sample();
    o.begin(o.context, Role::Head);
    timeline.end_sample();
    EXPECT_EQ(problem(), "timeline: role head did not end within its sample");
    Timeline other(fake_clock);
    const Observer outside = other.observer();
    outside.begin(outside.context, Role::Embed);
    outside.end(outside.context, Role::Embed);
    EXPECT_THROW(other.median_sample(), Error);
}

// Every reading of this clock is a nanosecond later, so that times count readings.
int64_t counting_clock() {
    return ++fake_now;
}

// The decoder's own roles neither nest nor overlap, and between two of them lies nothing but the
// clock itself: prompt, one token, and logits of all tokens.
TEST(TimelineOfAModel, RolesFollowOneAnother) {
    const test::Folder folder;
    const auto file =
        std::make_shared<const GgufFile>(test::generate(folder, test::small_config()));
    ThreadPool pool(1);
    const tb_kernel& kernel = *find_kernel("i2s_scalar");
    Session session(Model::load(file, kernel, pool), kernel, pool, 32, 8);
    Timeline timeline(counting_clock);
    session.observe(timeline.observer());
    const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
    for (const size_t count : {size_t{10}, size_t{1}}) {
        timeline.begin_sample();
        session.forward({tokens.data(), count});
        timeline.end_sample();
    }
    const RoleTimes times = timeline.median_sample();
    EXPECT_GT(times.prepare, 0);
    EXPECT_GT(times.product, 0);
    EXPECT_GT(times.attention, 0);
    EXPECT_EQ(times.head, 1);
}

}  // namespace
}  // namespace tritbench
