// Runs before the first paint, so that a chosen theme does not flash.
import { apply, stored } from "./theme";

apply(stored());
