# SPDX-License-Identifier: Apache-2.0
import unittest

from example import EXAMPLES, ExampleCase


class MessageDedup(ExampleCase):
    example = EXAMPLES / "message_dedup"

    def setUp(self):
        super().setUp()
        self.ledger = self.folder / "ledger"

    def charges(self):
        return [line.split()[:2] for line in self.ledger.read_text().splitlines()]

    def test_a_redelivered_message_gets_the_first_ones_outcome(self):
        at_once = [self.start_example(self.ledger, "order-1", 250) for _ in range(5)]
        answers = self.finish(at_once)
        answers += self.finish([self.start_example(self.ledger, "order-1", 250)])
        self.assertEqual(sum(answer.endswith(" (charged)\n") for answer in answers), 1)
        self.assertEqual(sum(answer.endswith(" (delivered again)\n") for answer in answers), 5)
        receipts = {answer.split(" (")[0] for answer in answers}
        self.assertEqual(len(receipts), 1)
        self.assertEqual(self.charges(), [["order-1", "250"]])

    def test_other_messages_are_other_charges(self):
        for number in range(3):
            self.finish([self.start_example(self.ledger, f"order-{number}", number)])
        self.assertEqual(len(self.charges()), 3)

    def test_the_same_id_with_another_amount_is_refused(self):
        self.finish([self.start_example(self.ledger, "order-1", 250)])
        tool = self.run_example(self.ledger, "order-1", 9999)
        self.assertEqual(tool.code, 1)
        self.assertIn("fingerprint", tool.errors())
        self.assertEqual(self.charges(), [["order-1", "250"]])

    def test_after_a_failure_the_next_delivery_tries_again(self):
        tool = self.run_example(self.folder / "none" / "ledger", "order-1", 250)
        self.assertEqual(tool.code, 1)
        self.assertIn("no ledger", tool.errors())
        self.finish([self.start_example(self.ledger, "order-1", 250)])
        self.assertEqual(self.charges(), [["order-1", "250"]])


if __name__ == "__main__":
    unittest.main()
