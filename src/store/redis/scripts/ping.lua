-- Answers, and does nothing.
return true
