"""What people see: events and reports as rich texts.

Rule: a module here turns values into texts and knows nothing else. It opens no file, starts nothing and never prints;
``tracker.cli`` does.
"""
